//! What the views say about a marketplace, checked against the domain's own state.
