// What makes the page nicer where scripts run. Everything but WeChat's own client works without.
"use strict";

const FIRST_POLL_MILLISECONDS = 2000;
const LONGEST_POLL_MILLISECONDS = 15000;
// So long after the time to pay is over, the page stops asking.
const POLL_AFTER_END_MILLISECONDS = 10 * 60 * 1000;
const RETURN_MILLISECONDS = 3000;

let pollTimer = 0;
let pollMilliseconds = FIRST_POLL_MILLISECONDS;
let stopPollingAt = Infinity;

// The time that is left, by this clock from the seconds that the server counted.
function countDown(clock) {
  const end = performance.now() + Number(clock.dataset.seconds) * 1000;
  const show = () => {
    if (!clock.isConnected) return;
    const left = Math.max(0, Math.ceil((end - performance.now()) / 1000));
    clock.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    clock.classList.toggle("urgent", left <= 60);
    // The server counts whole seconds: a little later it also says that the time is over.
    setTimeout(left === 0 ? showCurrentState : show, left === 0 ? 1500 : 1000);
  };
  stopPollingAt = end + POLL_AFTER_END_MILLISECONDS;
  show();
}

// One click is enough. The bank would not take a second one either.
// Form fields come from channels, and a field may be called `dataset`: nothing is read from the form itself.
function submitOnce(form, button) {
  let isSent = false;
  form.addEventListener("submit", (event) => {
    if (isSent) {
      event.preventDefault();
      return;
    }
    isSent = true;
    button.setAttribute("aria-disabled", "true");
    button.querySelector("span").textContent = button.dataset.busy;
  });
}

// The channel's form is sent by itself, once: a customer who comes back is not sent away again.
function submitByItself(button) {
  const name = `sent ${location.pathname}`;
  try {
    if (sessionStorage.getItem(name)) return;
    sessionStorage.setItem(name, "yes");
  } catch {
    return; // no storage, no memory of it: the customer clicks
  }
  button.click();
}

// WeChat's client, which exists in WeChat's own browser. Only the platform's status proves the payment.
function payInWechat(button) {
  const pay = () => {
    WeixinJSBridge.invoke("getBrandWCPayRequest", JSON.parse(button.dataset.params), () => pollSoon());
  };
  const whenReady = () => {
    if (typeof WeixinJSBridge === "undefined") {
      document.addEventListener("WeixinJSBridgeReady", pay, { once: true });
    } else {
      pay();
    }
  };
  button.addEventListener("click", whenReady);
  whenReady();
}

// Asks for the status, ever more slowly, until it is final.
async function poll() {
  const main = document.querySelector("main");
  const address = main.dataset.poll;
  if (!address || performance.now() > stopPollingAt) return;
  let wait = pollMilliseconds;
  try {
    const answer = await fetch(address, { cache: "no-store", credentials: "same-origin" });
    if (answer.ok) {
      const { status } = await answer.json();
      if (status !== main.dataset.status) {
        await showCurrentState();
        return;
      }
    } else {
      wait = Math.max(wait, Number(answer.headers.get("Retry-After")) * 1000 || 0);
    }
  } catch {
    // The network is away: ask again.
  }
  pollMilliseconds = Math.min(pollMilliseconds * 1.15, LONGEST_POLL_MILLISECONDS);
  pollTimer = setTimeout(poll, wait);
}

function pollSoon() {
  clearTimeout(pollTimer);
  pollMilliseconds = FIRST_POLL_MILLISECONDS;
  pollTimer = setTimeout(poll, 300);
}

// Shows the page as it is now, in place of the one that is open.
async function showCurrentState() {
  clearTimeout(pollTimer);
  pollMilliseconds = FIRST_POLL_MILLISECONDS;
  let page;
  try {
    const answer = await fetch(location.href, { cache: "no-store", credentials: "same-origin" });
    if (!answer.ok && answer.status !== 404) throw new Error(answer.statusText);
    page = new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch {
    // The network or the server is away: the open page stays.
    pollTimer = setTimeout(showCurrentState, LONGEST_POLL_MILLISECONDS);
    return;
  }
  document.title = page.title;
  document.querySelector("main").replaceWith(document.importNode(page.querySelector("main"), true));
  enhance();
  document.querySelector("h1").focus({ preventScroll: true });
  returnToShop();
}

// After the payment, which this page has seen succeed.
function returnToShop() {
  const link = document.getElementById("back");
  if (!link) return;
  document.getElementById("returning").hidden = false;
  setTimeout(() => location.assign(link.href), RETURN_MILLISECONDS);
}

function enhance() {
  const clock = document.getElementById("expiry");
  const cards = document.getElementById("pay");
  const channelForm = document.getElementById("go");
  const wechat = document.getElementById("wechat");
  if (clock) countDown(clock);
  if (cards) submitOnce(cards, document.querySelector("#pay button"));
  if (wechat) payInWechat(wechat);
  if (document.querySelector("main").dataset.poll) pollTimer = setTimeout(poll, pollMilliseconds);
  if (channelForm) {
    const button = document.getElementById("go-button");
    submitOnce(channelForm, button);
    submitByItself(button);
  }
}

enhance();
// Back from the channel's app or page: the result may be there.
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "visible" || !document.querySelector("main").dataset.poll) return;
  if (performance.now() > stopPollingAt) {
    showCurrentState();
  } else {
    pollSoon();
  }
});
// Back from the browser's cache: forms are fresh again.
addEventListener("pageshow", (event) => event.persisted && location.reload());
