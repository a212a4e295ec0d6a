// A table whose rows are selected, hidden and paged in the browser; the kernel hears of a choice only.

export default {
  render({ model, el }) {
    el.classList.add("maskseg-table");
    let page = 0, wanted = "";

    function draw() {
      const [columns, all, selected] = ["columns", "rows", "selected"].map((name) => model.get(name));
      const groups = [...new Set(all.map((row) => row.group).filter(Boolean))];
      if (!groups.includes(wanted)) wanted = "";
      const rows = all.filter((row) => !wanted || row.group === wanted);
      const size = model.get("page_size"), pages = Math.max(1, Math.ceil(rows.length / size));
      page = Math.min(page, pages - 1);
      const focused = el.contains(document.activeElement) ? document.activeElement.dataset?.id : null;
      el.replaceChildren();
      if (groups.length > 1 || pages > 1) el.append(head(groups, rows.length, pages));
      if (!all.length) return;
      const table = make("table"), titles = make("tr");
      for (const column of columns) titles.append(make("th", { scope: "col", textContent: column }));
      table.append(titles);
      for (const row of rows.slice(page * size, (page + 1) * size)) table.append(line(row, selected));
      el.append(table);
      if (focused) el.querySelector(`button[data-id="${focused}"]`)?.focus();
    }

    function line(row, selected) {
      const made = make("tr", { className: row.id === selected ? "maskseg-selected" : "" });
      row.cells.forEach((text, column) => {
        const cell = make("td");
        if (column) cell.textContent = text;
        else {  // the first one is the row's button, for the keyboard as well
          const button = make("button", { type: "button", textContent: text });
          button.dataset.id = row.id;
          button.setAttribute("aria-pressed", String(row.id === selected));
          button.setAttribute("aria-label", `Select ${row.cells.slice(0, 3).join(" ")}`);
          if (row.color) button.style.borderLeftColor = row.color;
          cell.append(button);
        }
        made.append(cell);
      });
      if (model.get("can_hide")) {
        const cell = make("td"), hide = make("button", { type: "button", textContent: row.hidden ? "show" : "hide" });
        hide.setAttribute("aria-label", `${hide.textContent} ${row.cells.slice(0, 2).join(" ")}`);
        hide.addEventListener("click", (event) => { event.stopPropagation(); model.send({ hide: row.id }); });
        cell.append(hide);
        made.append(cell);
        made.classList.toggle("maskseg-hidden", Boolean(row.hidden));
      }
      made.addEventListener("click", () => {
        model.set("selected", row.id === selected ? 0 : row.id);
        model.save_changes();
      });
      return made;
    }

    function head(groups, count, pages) {
      const bar = make("div", { className: "maskseg-table-bar" });
      const choice = make("select");
      choice.setAttribute("aria-label", "Show which rows");
      choice.append(make("option", { value: "", textContent: "all" }));
      for (const group of groups) choice.append(make("option", { value: group, textContent: group }));
      choice.value = wanted;
      choice.addEventListener("change", () => { [wanted, page] = [choice.value, 0]; draw(); });
      const turn = (text, name, by) => {
        const button = make("button", { type: "button", textContent: text, disabled: page + by < 0 || page + by >= pages });
        button.setAttribute("aria-label", name);
        button.addEventListener("click", () => { page += by; draw(); });
        return button;
      };
      const where = make("span", { textContent: `${count.toLocaleString("en")} rows, page ${page + 1} of ${pages}` });
      bar.append(...(groups.length > 1 ? [choice] : []), turn("\u2039", "Page back", -1), where, turn("\u203a", "Next page", 1));
      return bar;
    }

    // Whoever selects in the picture wants to see the row.
    function show() {
      const all = model.get("rows").filter((row) => !wanted || row.group === wanted);
      const at = all.findIndex((row) => row.id === model.get("selected"));
      if (at >= 0) page = Math.floor(at / model.get("page_size"));
      draw();
      const row = el.querySelector(".maskseg-selected");  // scrolled here alone: the page stays where it is
      if (row) el.scrollTop = row.offsetTop - el.clientHeight / 2;
    }

    const listeners = { rows: draw, columns: draw, can_hide: draw, selected: show };
    for (const [name, listener] of Object.entries(listeners)) model.on(`change:${name}`, listener);
    draw();
    return () => {
      for (const [name, listener] of Object.entries(listeners)) model.off(`change:${name}`, listener);
    };
  },
};

const make = (tag, properties = {}) => Object.assign(document.createElement(tag), properties);
