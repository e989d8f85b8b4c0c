// Forms with `data-passkey` are shown where the browser can carry them out.
(() => {
  "use strict";
  const forms = document.querySelectorAll("form[data-passkey]");
  if (!window.PublicKeyCredential || !navigator.credentials) {
    for (const form of forms) form.hidden = true;
    return;
  }

  const bytes = (text) =>
    Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const known = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));
  const answer = (made, ...parts) => ({
    id: made.id,
    rawId: text(made.rawId),
    type: made.type,
    response: Object.fromEntries(parts.map((part) => [part, made.response[part] && text(made.response[part])])),
  });

  const ceremonies = {
    create: async (asked) => {
      const user = { ...asked.user, id: bytes(asked.user.id) };
      const excludeCredentials = known(asked.excludeCredentials);
      const publicKey = { ...asked, user, excludeCredentials, challenge: bytes(asked.challenge) };
      const made = await navigator.credentials.create({ publicKey });
      return answer(made, "attestationObject", "clientDataJSON");
    },
    get: async (asked) => {
      const allowCredentials = known(asked.allowCredentials);
      const publicKey = { ...asked, allowCredentials, challenge: bytes(asked.challenge) };
      const made = await navigator.credentials.get({ publicKey });
      return answer(made, "authenticatorData", "clientDataJSON", "signature", "userHandle");
    },
  };

  const send = async (form, path, body) => {
    const headers = { "content-type": "application/json", "x-csrf": form.elements.csrf.value };
    const init = { method: "POST", headers, body: JSON.stringify(body), redirect: "error" };
    const reply = await fetch(path, init);
    const said = await reply.json().catch(() => ({}));
    if (!reply.ok) throw new Error([said.detail || "that did not work", said.action].filter(Boolean).join("; "));
    return said;
  };

  const why = (error) => {
    if (error.name === "NotAllowedError") return "nothing was done: it was called off, or took too long";
    if (error.name === "InvalidStateError") return "there is a passkey for your account on it already";
    return error.message;
  };

  const complain = (form, sentence) => {
    const old = form.querySelector(".wrong");
    if (old) old.remove();
    if (!sentence) return;
    const note = document.createElement("p");
    note.className = "wrong";
    note.setAttribute("role", "alert");
    note.textContent = `${sentence[0].toUpperCase()}${sentence.slice(1)}.`;
    form.querySelector("button").before(note);
  };

  for (const form of forms) {
    form.classList.remove("scripted");
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const button = form.querySelector("button");
      const path = form.getAttribute("action");
      const { csrf, form: id, password, ...fields } = Object.fromEntries(new FormData(form));
      button.disabled = true;
      complain(form, "");
      try {
        const asked = await send(form, `${path}/challenge`, { password });
        const made = await ceremonies[form.dataset.passkey](asked.publicKey);
        const { to } = await send(form, path, { ...fields, challenge: asked.challenge, answer: made });
        location.assign(to);
      } catch (error) {
        complain(form, why(error));
        button.disabled = false;
      }
    });
  }
})();
