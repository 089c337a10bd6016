/* The filter language of the matrix: text to a test over models and cells.
 *
 * A word asks for models whose id has it. The keys of CELL ask for one cell of the row that fits all of them, those of MODEL speak
 * of the model, `count(pass)>=3` of the whole row. A comma means or, a leading minus not, double quotes hold spaces together. */
import { type Cell, type Model, type Reason, models, shareOf, targets } from "./cells";
import { changesOf } from "./story";

const CELL: Record<string, (cell: Cell, value: string) => boolean> = {
  is: (cell, value) => cell.outcome === value,
  on: (cell, value) => onTarget(cell.target.id.toLowerCase(), value),
  ev: (cell, value) => cell.evidence === value,
  tier: (cell, value) => cell.target.evidence === value,
  stage: (cell, value) => cell.stage === value,
  cause: (cell, value) => cell.cause === value,
  why: (cell, value) => hasReason(cell.reason, value),
  error: (cell, value) => cell.step !== null && shareOf(cell.step) > Number(value), // at least that share of what is allowed
  changed: (cell, value) => changesOf(cell).some(({ kind }) => kind === value),
};

const MODEL: Record<string, (model: Model, value: string) => boolean> = {
  family: (model, value) => model.family.toLowerCase() === value,
  task: (model, value) => model.task.toLowerCase() === value,
  modality: (model, value) => model.modality.toLowerCase().includes(value),
  house: (model, value) => model.house.toLowerCase() === value,
};

const COMPARE: Record<string, (a: number, b: number) => boolean> = {
  ">=": (a, b) => a >= b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  "<": (a, b) => a < b,
  "=": (a, b) => a === b,
};

const targetIds = new Set(targets.map(({ id }) => id.toLowerCase()));

/* A whole id means that target alone, also when it is part of another id. */
function onTarget(id: string, value: string): boolean {
  return targetIds.has(value) ? id === value : id.includes(value);
}

function hasReason(reason: Reason | null, value: string): boolean {
  return reason !== null && (reason.signature === value || reason.message.toLowerCase().includes(value));
}

/* ---- reading ---- */

interface Term {
  whole: string;
  negated: boolean;
  /** A plain word has none. */
  key: string | null;
  value: string;
  quoted: boolean;
}

function terms(text: string): Term[] {
  const found = text.matchAll(/(-?)(?:(\w+):)?(?:"((?:[^"\\]|\\.)*)"|(\S+))/g);
  return Array.from(found, ([whole, minus, key, quoted, word]) => {
    const value = quoted === undefined ? word! : quoted.replace(/\\(.)/g, "$1");
    return { whole, negated: minus === "-", key: key?.toLowerCase() ?? null, value: value.toLowerCase(), quoted: quoted !== undefined };
  });
}

/** Write a term so that `terms` reads it back. */
export function term(key: string, value: string): string {
  const plain = /^[^\s",\\-][^\s",\\]*$/.test(value);
  return `${key}:${plain ? value : `"${value.replace(/["\\]/g, "\\$&")}"`}`;
}

const options = ({ value, quoted }: Term): string[] => (quoted ? [value] : value.split(",").filter(Boolean));

function counter(text: string): ((model: Model) => boolean) | null {
  const match = /^count\((\w+)\)(>=|<=|=|>|<)(\d+)$/.exec(text);
  if (!match) return null;
  const [, outcome, sign, number] = match;
  return ({ cells }) => COMPARE[sign!]!(cells.filter((cell) => cell.outcome === outcome).length, Number(number));
}

function modelTest(one: Term): (model: Model) => boolean {
  const test = one.key ? (model: Model) => options(one).some((value) => MODEL[one.key!]!(model, value)) : wordTest(one);
  return (model) => test(model) !== one.negated;
}

function wordTest(one: Term): (model: Model) => boolean {
  return (!one.quoted && counter(one.value)) || ((model) => model.id.toLowerCase().includes(one.value));
}

function cellTest(one: Term): (cell: Cell) => boolean {
  return (cell) => options(one).some((value) => CELL[one.key!]!(cell, value)) !== one.negated;
}

/* ---- asking ---- */

export interface Found {
  /** That fit. */
  models: Model[];
  /** The cells that do; null when none was asked for. */
  hits: Set<Cell> | null;
  /** Terms whose key nobody knows. */
  unknown: string[];
}

export function run(text: string): Found {
  const parsed = terms(text);
  const unknown = parsed.filter(({ key }) => key && !(key in CELL) && !(key in MODEL)).map(({ whole }) => whole);
  const cellTests = parsed.filter(({ key }) => key && key in CELL).map(cellTest);
  const modelTests = parsed.filter(({ key }) => !key || key in MODEL).map(modelTest);
  const fitting = models.filter((model) => modelTests.every((test) => test(model)));
  if (!cellTests.length) return { models: fitting, hits: null, unknown };
  const hits = new Set(fitting.flatMap((model) => model.cells).filter((cell) => cellTests.every((test) => test(cell))));
  return { models: fitting.filter((model) => model.cells.some((cell) => hits.has(cell))), hits, unknown };
}

/** Whether `value` is among the options of a term `key:a,b`. */
export function has(text: string, key: string, value: string): boolean {
  return terms(text).some((one) => one.key === key && !one.negated && options(one).includes(value));
}

/** Add `value` to the term `key:a,b`, or take it out. */
export function toggle(text: string, key: string, value: string): string {
  const parsed = terms(text);
  const old = parsed.find((one) => one.key === key && !one.negated);
  const rest = parsed.filter((one) => one !== old).map(({ whole }) => whole);
  const values = old ? options(old) : [];
  const next = values.includes(value) ? values.filter((other) => other !== value) : [...values, value];
  return [...rest, ...(next.length ? [`${key}:${next.join(",")}`] : [])].join(" ");
}
