//! A page without a mouse.

use fantoccini::{
    actions::{InputSource, KeyAction, KeyActions},
    key::Key,
};

use super::Tab;

/// How often a walk presses the key before it says that it never ends.
const STEPS: usize = 200;

/// Where one more step led. Pickers have parts, which are one thing from outside.
const STEP: &str = "
    const focused = document.activeElement, walked = document.walked;
    if (!document.hasFocus() || focused === document.body) return 'over';
    if (walked.at(-1) === focused) return ++document.inside > 10 ? 'held' : 'inside';
    if (walked.includes(focused)) return 'over';
    document.inside = 0;
    walked.push(focused);
    return 'on';";

/// Whether the focused element looks different than without focus.
const SHOWN: &str = "
    const focused = document.activeElement, look = () => {
        const style = getComputedStyle(focused);
        return [style.outlineStyle, style.outlineWidth, style.boxShadow, style.borderColor, style.backgroundColor,
            style.textDecoration].join();
    };
    if (getComputedStyle(focused).outlineStyle === 'auto') return true;
    const with_focus = look();
    focused.blur();
    const without = look();
    focused.focus({focusVisible: true});
    return with_focus !== without;";

impl Tab {
    /// Presses a key a number of times.
    pub async fn key(&self, key: Key, times: usize) {
        let value = char::from(key);
        let keys = (0..times).fold(KeyActions::new("keyboard".into()), |keys, _| {
            keys.then(KeyAction::Down { value }).then(KeyAction::Up { value })
        });
        self.client.perform_actions(keys).await.unwrap();
    }

    /// The name of what has the keyboard's focus; empty when nothing has.
    pub async fn focused(&self) -> String {
        let body = self.script("return document.activeElement === document.body", vec![]).await.unwrap();
        if body == true {
            return String::new();
        }
        let element = self.client.active_element().await.unwrap();
        self.name_of(&element).await.unwrap()
    }

    /// The names of everything that the Tab key comes to, in its order, from where the focus is. Everything shows that it
    /// has the focus, and nothing holds it.
    pub async fn walk(&self) -> Vec<String> {
        let mut names = Vec::new();
        self.script("document.walked = []", vec![]).await.unwrap();
        for _ in 0..STEPS {
            self.key(Key::Tab, 1).await;
            match self.script(STEP, vec![]).await.unwrap().as_str().unwrap() {
                "over" => return names,
                "inside" => continue,
                step => assert_eq!(step, "on", "{:?} holds the focus", names.last()),
            }
            names.push(self.focused().await);
            let shown = self.script(SHOWN, vec![]).await.unwrap();
            assert!(shown == true, "{:?} does not show that it has the focus", names.last());
        }
        panic!("the Tab key never comes to an end: {names:?}")
    }
}
