/* Escaping, settings, words and number formats. Nothing here knows what a cell is.
 *
 * Every file of this folder is a classic script that defines one constant: modules and fetch do not work from disk. */
"use strict";

const Core = (() => {
  /* ---- markup: everything is escaped unless it was made by `html` ---- */

  const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

  class Markup {
    constructor(text) {
      this.text = text;
    }
  }

  /* Control characters, and those that reorder a line: an error message could use them to read as something else. */
  const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

  const SPECIAL = new RegExp(`[&<>"']|${HIDDEN.source}`); // most of a matrix has none: looked for once, not replaced twice

  function escape(value) {
    const whole = String(value);
    if (!SPECIAL.test(whole)) return whole;
    const text = whole.replace(/[&<>"']/g, (char) => ENTITIES[char]);
    return text.replace(HIDDEN, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
  }

  function part(value) {
    if (value instanceof Markup) return value.text;
    if (Array.isArray(value)) return value.map(part).join("");
    if (value === null || value === undefined || value === false) return "";
    return escape(value);
  }

  /** Tagged template: the one way to make markup. Attribute values are always written in double quotes. */
  function html(strings, ...values) {
    let text = strings[0];
    for (let i = 0; i < values.length; i++) text += part(values[i]) + strings[i + 1];
    return new Markup(text);
  }

  /** Replace what is in `element`. Sizes are set from script, since the page's policy allows no style attributes. */
  function put(element, markup) {
    if (!(markup instanceof Markup)) throw new TypeError("only markup made by html`` may enter the page");
    element.innerHTML = markup.text;
    applySizes(element);
  }

  function applySizes(element) {
    for (const node of element.querySelectorAll("[data-grow]")) node.style.flexGrow = node.dataset.grow;
    for (const node of element.querySelectorAll("[data-width]")) node.style.width = `${node.dataset.width}%`;
    for (const node of element.querySelectorAll("[data-left]")) node.style.left = `${node.dataset.left}%`;
    for (const node of element.querySelectorAll("[data-columns]")) node.style.setProperty("--columns", node.dataset.columns);
    for (const node of element.querySelectorAll("[data-rows]")) node.style.setProperty("--rows", node.dataset.rows);
  }

  /* ---- settings: remembered where the browser lets us ---- */

  function remembered(key) {
    try {
      return localStorage.getItem(`porting.${key}`);
    } catch {
      return null; // a browser may forbid storage to pages from disk; the default serves
    }
  }

  function remember(key, value) {
    settings[key] = value;
    try {
      localStorage.setItem(`porting.${key}`, value);
    } catch {
      // as above: the choice then lasts as long as the page
    }
  }

  const settings = {
    language: remembered("language") || (navigator.language.startsWith("zh") ? "zh" : "en"),
    theme: remembered("theme") || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"),
  };

  /* ---- words ---- */

  const words = () => (settings.language === "zh" ? MESSAGES_ZH : MESSAGES_EN);

  const known = (key) => key in MESSAGES_EN;

  /** The text of `key` in the reader's language, with `{name}` filled in from `values`. Not markup: html`` escapes it. */
  function t(key, values = {}) {
    const text = words()[key] ?? key;
    if (!text.includes("{")) return text;
    return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
  }

  /** `t` for a counted thing; English has a second form for one. */
  function counted(key, number) {
    const one = number === 1 && known(`${key}.one`) ? `${key}.one` : key;
    return t(one, { n: integer(number) });
  }

  /* ---- numbers ---- */

  const locale = () => (settings.language === "zh" ? "zh-CN" : "en-GB");

  function integer(value) {
    return new Intl.NumberFormat(locale()).format(value);
  }

  function digits(value, places = 3) {
    return new Intl.NumberFormat(locale(), { maximumSignificantDigits: places }).format(value);
  }

  /** Small numbers as 2.1e-4, as tools of the field print them. */
  function scientific(value) {
    if (value === 0) return "0";
    const size = Math.abs(value);
    return size >= 1e-3 && size < 1e4 ? digits(value) : value.toExponential(1);
  }

  function seconds(value) {
    if (value < 1e-3) return `${digits(value * 1e6)} µs`;
    if (value < 1) return `${digits(value * 1e3)} ms`;
    return value < 120 ? `${digits(value)} s` : `${digits(value / 60)} min`;
  }

  function scaled(value, units, step) {
    let size = value;
    let unit = 0;
    while (size >= step && unit < units.length - 1) {
      size /= step;
      unit += 1;
    }
    return `${digits(size)}${units[unit]}`;
  }

  const bytes = (value) => scaled(value, [" B", " kB", " MB", " GB", " TB"], 1000);
  const parameters = (value) => scaled(value, ["", " K", " M", " B", " T"], 1000);

  const percent = (share) => new Intl.NumberFormat(locale(), { style: "percent", maximumFractionDigits: 0 }).format(share);

  /** A day (2026-11-24) or a moment (2026-11-24T09:30:00Z) as the reader's language writes it; UTC, as it was recorded. */
  function when(text) {
    const moment = new Date(text);
    if (Number.isNaN(moment.getTime())) return text;
    const time = text.length > 10 ? { hour: "2-digit", minute: "2-digit", timeZoneName: "short" } : {};
    return new Intl.DateTimeFormat(locale(), { year: "numeric", month: "long", day: "numeric", timeZone: "UTC", ...time }).format(moment);
  }

  /** A share of what is allowed: 0.31×, 12×, >1000×. */
  function times(ratio) {
    if (ratio > 1000) return ">1000×";
    return ratio > 0 && ratio < 0.001 ? "<0.001×" : `${digits(ratio, 2)}×`;
  }

  return { html, put, settings, remember, known, t, counted, integer, digits, scientific, seconds, bytes, parameters, percent, when, times };
})();
