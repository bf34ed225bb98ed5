// Dialogs, copying and typed confirmation. Without this file every page still works: dialogs are pages of their own.
(function () {
    "use strict";

    function open(link, event) {
        const dialog = document.getElementById(link.dataset.dialog);
        if (!dialog || typeof dialog.showModal !== "function") return;
        event.preventDefault();
        dialog.showModal();
        const first = dialog.querySelector("input:not([type=hidden]), select, textarea, button");
        if (!first) return;
        first.focus();
        if (first.value && first.select) first.select();  // what is typed replaces the proposed amount
    }

    function copy(button) {
        navigator.clipboard.writeText(button.dataset.copy).then(() => {
            const icon = button.querySelector("span");
            icon.textContent = "check";
            setTimeout(() => { icon.textContent = "content_copy"; }, 1500);
        });
    }

    function confirmTyped(input) {
        const button = input.form.querySelector("button[type=submit]");
        button.disabled = input.value.trim() !== input.dataset.mustBe;
    }

    // Of the previews of a field, shows that of its chosen value; the one without a value when nothing is chosen.
    function showPreview(field) {
        const scope = field.closest("dialog, form") || document;
        const previews = scope.querySelectorAll(`[data-preview="${field.name}"]`);
        previews.forEach((each) => { each.hidden = (each.dataset.choice || "") !== field.value; });
    }

    document.addEventListener("click", (event) => {
        const link = event.target.closest("[data-dialog]");
        if (link) { open(link, event); return; }
        const button = event.target.closest("[data-copy]");
        if (button) { copy(button); return; }
        const back = event.target.closest("[data-close]");
        const dialog = back && back.closest("dialog");
        if (dialog) { event.preventDefault(); dialog.close(); }
    });
    document.addEventListener("input", (event) => {
        if (event.target.dataset.mustBe) confirmTyped(event.target);
    });
    // The pages show times in this zone, unless the profile has another one.
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (zone) document.cookie = `browser_time_zone=${zone}; path=/admin/; max-age=31536000; samesite=lax`;

    document.addEventListener("change", (event) => {
        if (event.target.name && document.querySelector(`[data-preview="${event.target.name}"]`)) showPreview(event.target);
    });
    document.addEventListener("DOMContentLoaded", () => {
        document.querySelectorAll("[data-preview][data-choice]").forEach((each) => {
            const field = (each.closest("form") || document).querySelector(`[name="${each.dataset.preview}"]`);
            if (field) showPreview(field);
        });
        document.querySelectorAll("[data-must-be]").forEach(confirmTyped);
    });
})();
