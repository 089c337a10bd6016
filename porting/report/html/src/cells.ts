/* The data of the report as objects: models, targets, cells, reasons; and the records of a model, loaded when asked for. */
import { visible } from "./text";
import type { Data, Result } from "./types";

declare const DATA: Data; // data.js

export const data: Data = visible(DATA);

export interface Target {
  index: number;
  id: string;
  evidence: string;
  available: boolean;
  reason: string;
}

export interface Model {
  index: number;
  id: string;
  family: string;
  task: string;
  modality: string;
  house: string;
  params: number | null;
  cells: Cell[];
}

export interface Reason {
  index: number;
  signature: string;
  message: string;
}

/** What a mark shows. */
export interface Marked {
  outcome: string;
  evidence: string | null;
}

export interface Cell extends Marked {
  model: Model;
  target: Target;
  stage: string;
  cause: string | null;
  reason: Reason | null;
  /** See `shareOf`; null where nothing was judged. */
  step: number | null;
}

/* ---- reading ---- */

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

export const targets: Target[] = data.targets.map(([id, evidence, available, reason], index) => {
  return { index, id, evidence: data.evidences[evidence]!, available: Boolean(available), reason };
});

export const models: Model[] = data.models.map(([id, family, task, modality, house, params], index) => {
  return { index, id, family, task, modality, house, params, cells: [] };
});

const reasons: Reason[] = data.reasons.map(([signature, message], index) => ({ index, signature, message }));

/* A column is a string with a character a cell, which says where in its list of names the cell's value stands. */
function column(text: string, names: string[]): (position: number) => string | null {
  return (position) => names[DIGITS.indexOf(text[position]!)] ?? null;
}

const outcomeAt = column(data.cells.outcome, data.outcomes);
const evidenceAt = column(data.cells.evidence, data.evidences);
const stageAt = column(data.cells.stage, data.stages);
const causeAt = column(data.cells.cause, data.causes);

/* Shares of what is allowed come in steps of a tenth of a power of ten, the first up to a thousandth, the last from a hundred
 * times on; the last digit says that nothing was judged. */
const LOW = -3;
const STEPS = 10;

/** The share at which a step ends. */
export const shareOf = (step: number): number => 10 ** (LOW + step / STEPS);

function stepAt(position: number): number | null {
  const step = DIGITS.indexOf(data.cells.error[position]!);
  return step === DIGITS.length - 1 ? null : step;
}

function cell(model: Model, target: Target): Cell {
  const position = model.index * targets.length + target.index;
  return {
    model,
    target,
    outcome: outcomeAt(position)!,
    evidence: evidenceAt(position),
    stage: stageAt(position)!,
    cause: causeAt(position),
    reason: reasons[data.cells.reason[position]! - 1] ?? null,
    step: stepAt(position),
  };
}

for (const model of models) model.cells = targets.map((target) => cell(model, target));

export const all: Cell[] = models.flatMap((model) => model.cells);
export const modelById = new Map(models.map((model) => [model.id, model]));
export const targetById = new Map(targets.map((target) => [target.id, target]));

export const cellAt = (model: number, target: number): Cell => models[model]!.cells[target]!;
export const onTarget = (target: Target): Cell[] => models.map((model) => model.cells[target.index]!);
export const sharing = (reason: Reason): Cell[] => all.filter((one) => one.reason === reason);

/* ---- sums: a claim is never added to one that rests on other evidence ---- */

const CLAIMS = ["pass", "degraded"];

/** Things by what `key` says of them, in the order in which keys come first. */
export function grouped<T, K>(things: Iterable<T>, key: (thing: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const thing of things) {
    const name = key(thing);
    const group = groups.get(name);
    if (group) group.push(thing);
    else groups.set(name, [thing]);
  }
  return groups;
}

export interface Tally extends Marked {
  /** What all cells of the group rest on, null where they differ. */
  shared: string | null;
  count: number;
}

/** Count cells in groups of one outcome and, for claims, one kind of evidence; in the order of the two lists. */
export function tally(cells: Cell[]): Tally[] {
  const kind = ({ outcome, evidence }: Cell) => (CLAIMS.includes(outcome) ? evidence : null);
  const groups = [...grouped(cells, (one) => `${one.outcome} ${kind(one)}`).values()].map((members) => {
    const [first] = members as [Cell];
    const shared = members.every(({ evidence }) => evidence === first.evidence) ? first.evidence : null;
    return { outcome: first.outcome, evidence: kind(first), shared, count: members.length };
  });
  return groups.sort(byRank);
}

function rank({ outcome, evidence }: Marked): number {
  const place = evidence ? data.evidences.indexOf(evidence) : data.evidences.length;
  return data.outcomes.indexOf(outcome) * 10 + place;
}

/** The best first. */
export const byRank = (a: Marked, b: Marked): number => rank(a) - rank(b);

export interface Stopped {
  reason: Reason;
  outcome: string;
  stage: string;
  cause: string | null;
  cells: Cell[];
}

/** Group what is not a pass by reason, the most frequent first. */
export function byReason(cells: Cell[]): Stopped[] {
  const stopped = cells.filter(({ reason, outcome }) => reason && outcome !== "pass");
  const groups = [...grouped(stopped, ({ outcome, reason }) => `${outcome} ${reason!.index}`).values()].map((members) => {
    const { reason, outcome, cause, stage } = members[0]!;
    return { reason: reason!, outcome, cause, stage, cells: members };
  });
  return groups.sort((a, b) => b.cells.length - a.cells.length);
}

/* ---- records ---- */

type Records = (Result | null)[];

const waiting = new Map<string, (records: Promise<Records>) => void>();
const loaded = new Map<string, Promise<Records>>();

/** Called by the files of details. text: gzip in base64, of the model's records in the order of the targets. */
function add(digest: string, text: string): void {
  waiting.get(digest)?.(inflate(text));
}

async function inflate(text: string): Promise<Records> {
  const packed = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return visible((await new Response(stream).json()) as Records);
}

function request(digest: string): Promise<Records> {
  return new Promise((resolve, reject) => {
    waiting.set(digest, resolve);
    const script = document.createElement("script");
    script.src = `d/${digest}.js`;
    script.onerror = () => reject(new Error(script.src));
    document.head.append(script);
  });
}

/** The records of a model, a target each; null stands for a cell without one, undefined for a file that is not there. */
export async function recordsOf(model: Model): Promise<Records | undefined> {
  const digest = data.details[model.index]!;
  if (!loaded.has(digest)) loaded.set(digest, request(digest));
  return loaded.get(digest)!.catch(() => undefined); // said on the page: the index alone still tells outcome and reason
}

Object.assign(globalThis, { Details: { add } });
