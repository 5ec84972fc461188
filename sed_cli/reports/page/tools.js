"use strict";

// An element with text and children. Strings become text nodes: data is never read as markup.
function make(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name === "class") element.className = value;
    else if (name === "style") Object.assign(element.style, value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

const readJson = (id) => JSON.parse(document.getElementById(id).textContent);
const fraction = (value, digits = 3) => (value === null || value === undefined ? "–" : value.toFixed(digits));
const seconds = (value) => `${value.toFixed(2)} s`;
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const shortened = (text, length) => (text.length <= length ? text : `${text.slice(0, length / 2)}…${text.slice(1 - length / 2)}`);

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

// A part of the page, listed at its top.
function addPart(id, heading, explanation, ...children) {
  const part = make("section", { id, "aria-labelledby": `${id}-heading` },
    make("h2", { id: `${id}-heading` }, heading), explanation ? make("p", { class: "soft" }, explanation) : null, ...children);
  document.getElementById("main").append(part);
  document.getElementById("parts").append(make("a", { href: `#${id}` }, heading));
  return part;
}

// Rows: arrays of {text, value, node}; a click on a heading sorts, a second one turns the order.
function sortableTable(caption, headings, rows, sortedBy, ascending, rowClass) {
  const body = make("tbody");
  const cells = headings.map((heading, index) => {
    const button = make("button", { type: "button", title: heading.title || "Sort by this column", onclick: () => sort(index) }, heading.text);
    return make("th", { scope: "col" }, button);
  });
  let state = { index: -1, up: true };
  function sort(index, up) {
    state = { index, up: up === undefined ? (state.index === index ? !state.up : index === 0 || headings[index].up !== false) : up };
    const sign = state.up ? 1 : -1;
    const missing = (value) => value === null || value === undefined;
    const sorted = [...rows].sort((a, b) => {
      const [x, y] = [a.cells[index].value, b.cells[index].value];
      if (missing(x) || missing(y)) return missing(x) - missing(y);
      return sign * (typeof x === "string" ? x.localeCompare(y) : x - y);
    });
    cells.forEach((cell, i) => {
      if (i === index) cell.setAttribute("aria-sort", state.up ? "ascending" : "descending");
      else cell.removeAttribute("aria-sort");
      cell.firstChild.textContent = headings[i].text + (i === index ? (state.up ? " ▲" : " ▼") : "");
    });
    body.replaceChildren(...sorted.map((row) => row.node));
  }
  for (const row of rows) {
    row.node = make("tr", { class: rowClass ? rowClass(row) : "" }, row.cells.map((cell, index) =>
      make(index ? "td" : "th", { scope: index ? null : "row", title: cell.title, class: cell.share === undefined ? "" : "meter" },
        cell.share === undefined ? null : make("i", { style: { width: `${100 * (cell.share || 0)}%` } }),
        cell.node || make("span", {}, cell.text))));
  }
  sort(sortedBy, ascending);
  return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    make("table", {}, make("thead", {}, make("tr", {}, cells)), body));
}
