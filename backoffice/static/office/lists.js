// Lists: j and k move from row to row, Enter opens one; menus close on Escape and on a click beside them; the merchant
// input suggests merchants. Without this file lists work by links and forms alone.
(function () {
    "use strict";

    const PAUSE_MS = 200;

    function isTyping(target) {
        return target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT", "SUMMARY", "BUTTON", "A"].includes(target.tagName);
    }

    function moveRow(step) {
        const rows = [...document.querySelectorAll("#result_list tr.data-row, [data-rows] > [data-row]")];
        if (!rows.length) return;
        const here = rows.findIndex((row) => row.classList.contains("office-row-here"));
        const next = Math.min(Math.max(here + step, 0), rows.length - 1);
        if (here >= 0) rows[here].classList.remove("office-row-here");
        rows[next].classList.add("office-row-here");
        rows[next].scrollIntoView({block: "nearest"});
    }

    function openRow() {
        const link = document.querySelector(".office-row-here th a, .office-row-here td a[href], .office-row-here a[href]");
        if (link) link.click();
    }

    document.addEventListener("keydown", (event) => {
        if (event.key === "Escape") {
            const menu = document.querySelector("details[data-menu][open]");
            if (menu) { menu.open = false; menu.querySelector("summary").focus(); }
            return;
        }
        if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
        if (event.target.tagName !== "BODY" && isTyping(event.target)) return;
        if (event.key === "j") moveRow(1);
        else if (event.key === "k") moveRow(-1);
        else if (event.key === "Enter") openRow();
    });
    // The event does not bubble. A menu with a form begins in its first text field.
    document.addEventListener("toggle", (event) => {
        if (!event.target.open || !event.target.matches("details[data-menu]")) return;
        const field = event.target.querySelector("input[type=text]");
        if (field) field.focus();
    }, true);
    document.addEventListener("click", (event) => {
        document.querySelectorAll("details[data-menu][open]").forEach((menu) => {
            if (!menu.contains(event.target)) menu.open = false;
        });
    });

    function suggest(input) {
        const list = document.getElementById(input.getAttribute("list"));
        let timer = 0;
        input.addEventListener("input", () => {
            clearTimeout(timer);
            timer = setTimeout(async () => {
                const term = input.value.trim();
                if (term.length < 2 || [...list.options].some((option) => option.value === term)) return;
                const answer = await fetch(`${input.dataset.suggest}?${new URLSearchParams({q: term})}`);
                if (!answer.ok || answer.redirected) return;
                const found = await answer.json();
                list.replaceChildren(...found.merchants.map((each) => new Option(each.name, each.email)));
            }, PAUSE_MS);
        });
    }

    document.addEventListener("DOMContentLoaded", () => {
        document.querySelectorAll("[data-suggest]").forEach(suggest);
    });
})();
