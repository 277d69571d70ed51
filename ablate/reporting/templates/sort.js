for (const table of document.querySelectorAll("table.sortable")) {
  const bodies = [...table.tBodies];
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  const sorted = (body) => [...body.rows].filter((row) => !row.classList.contains("group"));
  if (!bodies.some((body) => sorted(body).length > 2)) continue;
  const value = (row, column) => {
    const cell = row.cells[column];
    if (cell.dataset.sort !== undefined) return Number(cell.dataset.sort);
    const text = cell.textContent.trim();
    return text === "" || text.startsWith("–") ? null : text;
  };
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.textContent = "";
    head.append(button);
    button.addEventListener("click", () => {
      const rising = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", rising ? "ascending" : "descending");
      for (const body of bodies) {
        const keyed = sorted(body).map((row) => [value(row, column), row]);
        const known = keyed.filter(([key]) => key !== null);
        known.sort(([a], [b]) => (rising ? compare(a, b) : compare(b, a)));
        const missing = keyed.filter(([key]) => key === null);
        body.append(...known.concat(missing).map(([, row]) => row));
      }
    });
  });
}
