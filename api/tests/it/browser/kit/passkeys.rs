//! A security key that is not there.

use serde_json::{Value, json};

use super::Tab;

impl Tab {
    /// A built-in authenticator that keeps passkeys and agrees to everything; answers with its id.
    pub async fn authenticator(&self) -> String {
        let kind = json!({
            "protocol": "ctap2", "transport": "internal", "hasResidentKey": true, "hasUserVerification": true,
            "isUserVerified": true,
        });
        let id = self.post("webauthn/authenticator", kind).await.unwrap();
        id.as_str().unwrap().to_owned()
    }

    /// Whether the person in front of it proves to be its owner from now on.
    pub async fn verifies(&self, authenticator: &str, agrees: bool) {
        let body = json!({"isUserVerified": agrees});
        self.post(format!("webauthn/authenticator/{authenticator}/uv"), body).await.unwrap();
    }

    /// The passkeys in it.
    pub async fn passkeys(&self, authenticator: &str) -> Vec<Value> {
        let kept = self.get(format!("webauthn/authenticator/{authenticator}/credentials")).await.unwrap();
        kept.as_array().unwrap().clone()
    }
}
