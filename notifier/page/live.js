// Brings the parts of a page that say so (data-live: where from, data-every: after how many seconds) up to date. Without this
// script the page stays as it was when it was opened. It stops when a part says that it is over, and when the session has ended.
"use strict";
for (const part of document.querySelectorAll("[data-live]")) {
  const again = () => setTimeout(refresh, part.dataset.every * 1000);
  const refresh = async () => {
    if (document.hidden) return again();
    try {
      const answer = await fetch(part.dataset.live, { redirect: "error" });
      if (answer.status === 401 || answer.status === 403 || answer.status === 404) return;
      if (answer.ok) {
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").body;
        const over = fresh.querySelector("[data-over]") !== null;
        if (over && part.dataset.then) return location.assign(part.dataset.then);
        part.replaceChildren(...fresh.childNodes);
        if (over) return;
      }
    } catch { /* we are away for a moment; the next one may come through */ }
    again();
  };
  again();
}
