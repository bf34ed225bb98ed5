// What makes the page nicer where scripts run. Everything works without.
"use strict";

const POLL_MILLISECONDS = 2000;

// The time that is left, by this clock from the seconds that the server counted.
function countDown(clock) {
  const end = performance.now() + Number(clock.dataset.seconds) * 1000;
  const show = () => {
    const left = Math.max(0, Math.ceil((end - performance.now()) / 1000));
    clock.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    clock.classList.toggle("urgent", left <= 60);
    if (left === 0) {
      location.reload();
    } else {
      setTimeout(show, 1000);
    }
  };
  show();
}

// One click is enough. The bank would not take a second one either.
function payOnce(form) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    const button = form.querySelector("button");
    button.setAttribute("aria-disabled", "true");
    button.querySelector("span").textContent = button.dataset.busy;
  });
  // Back from the result, from the browser's cache: the form is fresh again.
  addEventListener("pageshow", (event) => event.persisted && location.reload());
}

// Until the bank has decided.
async function waitForNews(status) {
  try {
    const answer = await fetch(location.href, { cache: "no-store", credentials: "same-origin" });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (page.body.dataset.status !== status) {
      location.reload();
      return;
    }
  } catch {
    // The network is away: ask again.
  }
  setTimeout(waitForNews, POLL_MILLISECONDS, status);
}

const clock = document.getElementById("expiry");
const form = document.getElementById("pay");
if (clock) countDown(clock);
if (form) payOnce(form);
if ("waiting" in document.body.dataset) setTimeout(waitForNews, POLL_MILLISECONDS, document.body.dataset.status);
