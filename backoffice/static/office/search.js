// The search of the header: "/" and Ctrl+K focus it, results appear while one types, arrows, Enter and Escape work.
// Without this file the form leads to the page with all results.
(function () {
    "use strict";

    const PAUSE_MS = 150;

    function isTyping(target) {
        return target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName);
    }

    function connect(form) {
        const input = form.elements.q;
        const list = form.querySelector("[role=listbox]");
        let timer = 0, running = null, chosen = -1, shownFor = "";

        const options = () => [...list.querySelectorAll("a[role=option]")];

        function choose(position) {
            const all = options();
            chosen = all.length ? (position + all.length) % all.length : -1;
            all.forEach((option, place) => {
                option.id = `office-hit-${place}`;
                option.setAttribute("aria-selected", String(place === chosen));
            });
            if (chosen < 0) { input.removeAttribute("aria-activedescendant"); return; }
            input.setAttribute("aria-activedescendant", all[chosen].id);
            all[chosen].scrollIntoView({block: "nearest"});
        }

        function close() {
            list.hidden = true;
            chosen = -1;
            input.setAttribute("aria-expanded", "false");
            input.removeAttribute("aria-activedescendant");
        }

        function show() {
            list.hidden = false;
            input.setAttribute("aria-expanded", "true");
        }

        async function load() {
            const term = input.value.trim();
            if (running) running.abort();
            if (term.length < 2) { close(); return; }
            running = new AbortController();
            try {
                const query = new URLSearchParams({q: term, part: "1"});
                const answer = await fetch(`${form.action}?${query}`, {signal: running.signal});
                if (!answer.ok || answer.redirected) { close(); return; }
                list.innerHTML = await answer.text();
            } catch (error) {
                if (error.name !== "AbortError") close();
                return;
            }
            shownFor = term;
            chosen = -1;
            input.removeAttribute("aria-activedescendant");
            options().forEach((option) => { option.tabIndex = -1; });
            show();
        }

        input.addEventListener("input", () => {
            clearTimeout(timer);
            timer = setTimeout(load, PAUSE_MS);
        });
        input.addEventListener("focus", () => { if (shownFor && shownFor === input.value.trim()) show(); });
        input.addEventListener("keydown", (event) => {
            if (event.key === "ArrowDown") { event.preventDefault(); choose(chosen + 1); }
            else if (event.key === "ArrowUp") { event.preventDefault(); choose(chosen < 0 ? -1 : chosen - 1); }
            else if (event.key === "Enter" && chosen >= 0 && !list.hidden) { event.preventDefault(); options()[chosen].click(); }
            else if (event.key === "Escape") { event.preventDefault(); if (list.hidden) { input.value = ""; input.blur(); } else { close(); } }
        });
        document.addEventListener("click", (event) => { if (!form.contains(event.target)) close(); });
        document.addEventListener("focusin", (event) => { if (!form.contains(event.target)) close(); });
        document.addEventListener("keydown", (event) => {
            const isSlash = event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey && !isTyping(event.target);
            const isCommand = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k";
            if (!isSlash && !isCommand) return;
            if (document.querySelector("dialog[open]")) return;
            event.preventDefault();
            input.focus();
            input.select();
        });
    }

    document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("[data-find]").forEach(connect));
})();
