"use strict";

const say = (text) => { document.getElementById("said").textContent = text; };

// Sorting: numbers as numbers, what is not known last, equals in the order they had.
const sortKey = (row, column) => {
  const cell = row.cells[column];
  if (cell.dataset.sort !== undefined) return Number(cell.dataset.sort);
  const text = cell.textContent.trim();
  if (cell.className !== "n") return text;
  const number = Number.parseFloat(text.replaceAll(",", ""));
  return Number.isNaN(number) ? "" : number;
};

const collator = new Intl.Collator(undefined, { numeric: true });

const inOrder = (one, other) => typeof one === "number" && typeof other === "number"
  ? one - other
  : collator.compare(String(one), String(other));

const sortBy = (header) => {
  const table = header.closest("table");
  const down = header.getAttribute("aria-sort") === "ascending";
  const keyed = [...table.tBodies[0].rows].map((row) => [sortKey(row, header.cellIndex), row]);
  const known = keyed.filter(([key]) => key !== "");
  known.sort(([one], [other]) => down ? inOrder(other, one) : inOrder(one, other));
  const unknown = keyed.filter(([key]) => key === "");
  table.tBodies[0].append(...[...known, ...unknown].map(([, row]) => row));
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  say(`Sorted by ${header.textContent.trim()}, ${down ? "descending" : "ascending"}`);
};

document.addEventListener("click", (event) => {
  const header = event.target.closest("thead th");
  if (header && event.target.closest("button")) sortBy(header);
});

// Filtering: rows that have every word, and the verdict if one is chosen.
for (const filter of document.querySelectorAll(".filter")) {
  const rows = [...filter.nextElementSibling.querySelectorAll("tbody tr")];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const search = filter.querySelector("input");
  const verdict = filter.querySelector("select");
  const apply = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row, place) => {
      const standing = row.querySelector(".standing");
      const fits = words.every((word) => texts[place].includes(word))
        && (!verdict || !verdict.value || (standing && standing.textContent === verdict.value));
      row.hidden = !fits;
      shown += fits;
    });
    filter.querySelector("output").textContent =
      shown === rows.length ? `${shown} rows` : `${shown} of ${rows.length} rows`;
  };
  search.addEventListener("input", apply);
  if (verdict) verdict.addEventListener("change", apply);
}

// A link to a folded section unfolds it.
const unfold = () => {
  const target = document.getElementById(location.hash.slice(1));
  if (!target) return;
  const fold = target.querySelector(":scope > details.fold");
  if (fold) fold.open = true;
  for (let at = target.closest("details"); at; at = at.parentElement.closest("details")) {
    at.open = true;
  }
  target.scrollIntoView();
};
window.addEventListener("hashchange", unfold);
unfold();

// The theme: the system's until the reader chooses, then remembered where storage is allowed.
const stored = {
  read: () => { try { return localStorage.getItem("fwdllm-theme"); } catch { return null; } },
  write: (theme) => { try { localStorage.setItem("fwdllm-theme", theme); } catch { /* not kept */ } },
};
const toggle = document.getElementById("theme");
const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
const isDark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : prefersDark.matches;
};
const label = () => { toggle.textContent = isDark() ? "Light theme" : "Dark theme"; };
const chosen = stored.read();
if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
toggle.addEventListener("click", () => {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  stored.write(theme);
  label();
});
prefersDark.addEventListener("change", label);
toggle.hidden = false;
label();
