"use strict";
// Without this script all of the page can be read; it filters, and opens what is asked for.
(() => {
  const filter = document.getElementById("filter");
  const count = document.getElementById("count");
  const sections = document.querySelectorAll("details.org");
  const rows = Array.from(document.querySelectorAll("tr.org"), (row, number) => ({
    row, section: sections[number], text: row.textContent.toLowerCase(),
  }));

  function sift() {
    const asked = filter.value.trim().toLowerCase();
    let shown = 0;
    for (const { row, section, text } of rows) {
      const fits = text.includes(asked);
      row.hidden = section.hidden = !fits;
      shown += fits;
    }
    count.textContent = asked ? `${shown} of ${rows.length} orgs` : "";
  }

  function open(id) {
    for (let at = document.getElementById(id); at; at = at.parentElement) {
      if (at.tagName === "DETAILS") at.open = true;
    }
  }

  if (filter) {
    filter.parentElement.hidden = false;
    filter.addEventListener("input", sift);
    document.addEventListener("keydown", (event) => {
      const typing = event.target.matches("input, textarea");
      if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
        event.preventDefault();
        filter.focus();
      } else if (event.key === "Escape" && event.target === filter) {
        filter.value = "";
        sift();
      }
    });
  }
  addEventListener("hashchange", () => open(location.hash.slice(1)));
  open(location.hash.slice(1));

  let closed = [];
  addEventListener("beforeprint", () => {
    closed = Array.from(document.querySelectorAll("details:not([open])"));
    for (const one of closed) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of closed) one.open = false;
  });
})();
