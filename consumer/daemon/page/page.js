"use strict";
(() => {
  const STALE_MS = 8000;
  const stale = document.getElementById("stale");
  let heard = Date.now();

  const selected = (part) => {
    const selection = window.getSelection();
    return selection && !selection.isCollapsed && selection.containsNode(part, true);
  };

  // What a reader has opened, scrolled to or focused stays so.
  const replace = (part, markup) => {
    const open = [...part.querySelectorAll("details[open]")].map((details) => details.id);
    const focused = part.contains(document.activeElement) ? document.activeElement : null;
    const opened = focused?.closest("details")?.id;
    const place = focused && focused !== part ? [...part.querySelectorAll("a,summary,[tabindex]")].indexOf(focused) : -1;
    const scrolls = [...part.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
    part.innerHTML = markup;
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    part.querySelectorAll(".scroll").forEach((one, index) => { one.scrollLeft = scrolls[index] || 0; });
    const again = opened
      ? document.getElementById(opened)?.querySelector("summary")
      : part.querySelectorAll("a,summary,[tabindex]")[place];
    again?.focus({ preventScroll: true });
  };

  const listen = () => {
    const source = new EventSource("events");
    source.onmessage = (event) => {
      heard = Date.now();
      stale.hidden = true;
      const { title, parts } = JSON.parse(event.data);
      document.title = title;
      for (const [id, markup] of Object.entries(parts)) {
        const part = document.getElementById(id);
        if (part && !selected(part)) replace(part, markup);
      }
    };
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
    };
  };

  setInterval(() => {
    if (!stale.hidden || Date.now() - heard < STALE_MS) return;
    stale.textContent = `Stale since ${new Date(heard).toISOString().slice(11, 19)} UTC: the daemon sends nothing. Does it run?`;
    stale.hidden = false;
    document.title = `✕ stale · ${document.title}`;
  }, 1000);
  listen();
})();
