// Gives the options of a page to the browser's passkeys, and sends the response with the form.
"use strict";

(() => {
  const form = document.querySelector("form[data-passkey]");
  if (!form) return;
  const problem = document.getElementById("passkey-problem");
  const toBytes = (text) =>
    Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
  const toText = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const withBytes = (credentials) => (credentials || []).map((each) => ({ ...each, id: toBytes(each.id) }));

  const ask = (options) => {
    const challenge = toBytes(options.challenge);
    if (form.dataset.passkey === "create") {
      const user = { ...options.user, id: toBytes(options.user.id) };
      const excludeCredentials = withBytes(options.excludeCredentials);
      return navigator.credentials.create({ publicKey: { ...options, challenge, user, excludeCredentials } });
    }
    const allowCredentials = withBytes(options.allowCredentials);
    return navigator.credentials.get({ publicKey: { ...options, challenge, allowCredentials } });
  };

  const describe = (credential) => {
    const response = { clientDataJSON: toText(credential.response.clientDataJSON) };
    for (const name of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
      if (credential.response[name]) response[name] = toText(credential.response[name]);
    }
    return { id: credential.id, rawId: toText(credential.rawId), type: credential.type, response };
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    problem.hidden = true;
    ask(JSON.parse(form.dataset.options))
      .then((credential) => {
        form.elements.response.value = JSON.stringify(describe(credential));
        form.submit();
      })
      .catch((error) => {
        problem.hidden = false;
        problem.querySelector("code").textContent = error.name;
      });
  });
})();
