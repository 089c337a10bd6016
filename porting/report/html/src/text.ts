/* Settings, words and number formats. Nothing here knows what a cell is. */

declare const MESSAGES_EN: Record<string, string>; // messages_en.js
declare const MESSAGES_ZH: Record<string, string>;

/* ---- text from outside ---- */

/* Control characters, and those that reorder a line: an error message could use them to read as something else. */
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** The same value with every hidden character spelt out. All data passes here; that text is no markup is Preact's work. */
export function visible<T>(value: T): T {
  return shown(value) as T;
}

function shown(value: unknown): unknown {
  if (typeof value === "string") return value.replace(HIDDEN, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
  if (Array.isArray(value)) return value.map(shown);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [shown(key), shown(part)]));
}

/* ---- settings: remembered where the browser lets us ---- */

function remembered(key: string): string | null {
  try {
    return localStorage.getItem(`porting.${key}`);
  } catch {
    return null; // a browser may forbid storage to pages from disk; the default serves
  }
}

export const settings = {
  language: remembered("language") || (navigator.language.startsWith("zh") ? "zh" : "en"),
  theme: remembered("theme") || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"),
};

export function remember(key: keyof typeof settings, value: string): void {
  settings[key] = value;
  try {
    localStorage.setItem(`porting.${key}`, value);
  } catch {
    // as above: the choice then lasts as long as the page
  }
}

/* ---- words ---- */

type Values = Record<string, unknown>;

const words = () => (settings.language === "zh" ? MESSAGES_ZH : MESSAGES_EN);

export const known = (key: string): boolean => key in MESSAGES_EN;

/** The text of `key` in the reader's language, with `{name}` filled in from `values`. */
export function t(key: string, values: Values = {}): string {
  const text = words()[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => (name in values ? String(values[name]) : whole));
}

/** `t` for a counted thing; English has a second form for one. */
export function counted(key: string, number: number): string {
  const one = number === 1 && known(`${key}.one`) ? `${key}.one` : key;
  return t(one, { n: integer(number) });
}

/* ---- numbers ---- */

const locale = () => (settings.language === "zh" ? "zh-CN" : "en-GB");

export const integer = (value: number): string => new Intl.NumberFormat(locale()).format(value);

export function digits(value: number, places = 3): string {
  return new Intl.NumberFormat(locale(), { maximumSignificantDigits: places }).format(value);
}

/** Small numbers as 2.1e-4, as tools of the field print them. */
export function scientific(value: number): string {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e-3 && size < 1e4 ? digits(value) : value.toExponential(1);
}

export function seconds(value: number): string {
  if (value < 1e-3) return `${digits(value * 1e6)} µs`;
  if (value < 1) return `${digits(value * 1e3)} ms`;
  return value < 120 ? `${digits(value)} s` : `${digits(value / 60)} min`;
}

function scaled(value: number, units: string[]): string {
  const step = value >= 1000 ? Math.min(units.length - 1, Math.floor(Math.log10(value) / 3 + 1e-9)) : 0;
  return `${digits(value / 1000 ** step)}${units[step]}`;
}

export const bytes = (value: number): string => scaled(value, [" B", " kB", " MB", " GB", " TB"]);
export const parameters = (value: number): string => scaled(value, ["", " K", " M", " B", " T"]);

export function percent(share: number): string {
  return new Intl.NumberFormat(locale(), { style: "percent", maximumFractionDigits: 0 }).format(share);
}

/** A version as it is read: of a digest its beginning. */
export const version = (text: string): string => text.replace(/^(sha256:[0-9a-f]{12})[0-9a-f]+$/, "$1…");

/** A day (2026-11-24) or a moment (2026-11-24T09:30:00Z) as the reader's language writes it; UTC, as it was recorded. */
export function when(text: string): string {
  const moment = new Date(text);
  if (Number.isNaN(moment.getTime())) return text;
  const time = text.length > 10 ? ({ hour: "2-digit", minute: "2-digit", timeZoneName: "short" } as const) : {};
  return new Intl.DateTimeFormat(locale(), { year: "numeric", month: "long", day: "numeric", timeZone: "UTC", ...time }).format(moment);
}

/** A share of what is allowed: 0.31×, 12×, >1000×. */
export function times(ratio: number): string {
  if (ratio > 1000) return ">1000×";
  return ratio > 0 && ratio < 0.001 ? "<0.001×" : `${digits(ratio, 2)}×`;
}
