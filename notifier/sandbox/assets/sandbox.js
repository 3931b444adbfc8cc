// Keeps the page's live part up to date. Without this file the page still shows everything; it is then refreshed by hand.
"use strict";

(() => {
  const live = document.getElementById("live");
  const pulse = document.querySelector(".pulse");
  const refresh = document.querySelector(".refresh");
  const query = new URLSearchParams({ q: live.dataset.q, lang: live.dataset.lang });
  let busy = false;
  let again = false;

  // Phones that did not change stay the elements they are, so that focus, selection and scrolling survive.
  function put(fresh) {
    const now = new Map();
    for (const li of live.querySelectorAll(".phone")) now.set(li.dataset.key, li);
    const first = now.size === 0;
    const seen = new Set();
    for (const t of live.querySelectorAll(".text")) seen.add(t.dataset.sid);
    const focused = document.activeElement?.closest?.(".phone")?.dataset.key;

    for (const li of fresh.querySelectorAll(".phone")) {
      const old = now.get(li.dataset.key);
      if (old && old.dataset.rev === li.dataset.rev) {
        li.replaceWith(old);
        continue;
      }
      for (const t of li.querySelectorAll(".text")) {
        if (!first && !seen.has(t.dataset.sid)) t.classList.add("new");
      }
    }
    live.replaceChildren(...fresh.childNodes);
    if (focused) live.querySelector(`.phone[data-key="${CSS.escape(focused)}"] article`)?.focus({ preventScroll: true });
    for (const screen of live.querySelectorAll(".screen")) screen.scrollTop = screen.scrollHeight;
  }

  async function draw() {
    if (busy || document.hidden) {
      again = true;
      return;
    }
    busy = true;
    again = false;
    try {
      const answer = await fetch("/phones?" + query);
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        put(page.body);
      }
    } catch {
      // The network is away; the event stream says so and comes back by itself.
    } finally {
      busy = false;
      if (again && !document.hidden) draw();
    }
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && again) draw();
  });

  const events = new EventSource("/events");
  events.addEventListener("open", () => {
    pulse.hidden = false;
    refresh.hidden = true;
  });
  events.addEventListener("error", () => {
    pulse.hidden = true;
    refresh.hidden = false;
  });
  events.addEventListener("changed", draw);
  for (const screen of live.querySelectorAll(".screen")) screen.scrollTop = screen.scrollHeight;
})();
