/* The shape of what Python writes: data.js, the files of details, and a record in them. */

export interface Data {
  title: string;
  generated: string;
  versions: Record<string, string>;
  outcomes: string[];
  evidences: string[];
  stages: string[];
  causes: string[];
  /** Id, place in `evidences`, whether it is here, and if not why. */
  targets: [string, number, number, string][];
  /** Id, family, task, modality, house, parameters. */
  models: [string, string, string, string, string, number | null][];
  /** A column a field, a character a cell. reason: place in `reasons`, counted from 1. */
  cells: { outcome: string; evidence: string; stage: string; cause: string; reason: number[]; error: string };
  /** Signature and message. */
  reasons: [string, string][];
  /** Names of the files of details, a model each. */
  details: string[];
  story: StoryData | null;
}

export interface StoryData {
  since: string;
  known: number;
  new: number;
  moved: Record<string, [string, string]>;
  /** Kind, model, target, outcome and evidence and stage before, a number before and after. */
  changes: [string, number, number, [string, string | null, string] | null, number | null, number | null][];
  /** A day, and by target how many cells were known, and the passes by evidence. */
  days: [string, Record<string, [number, number[]]>][];
  remedies: RemedyData[];
  alone: string[];
}

export interface RemedyData {
  kind: string;
  name: string;
  where: string;
  turns: number;
  blocks: number;
  models: number;
  targets: number;
  evidence: Record<string, number>;
  /** Model and target. */
  smallest: [number, number];
  /** What one of the cells was reduced to, in words; empty where none was. */
  case: string;
}

/** What a page shows of a record (porting/types.py: Result); there is more in it. */
export interface Result {
  message: string;
  hint: string;
  route: string[];
  attempts: string[];
  effective_precision: string | null;
  cases: { name: string; outputs: Output[] }[];
  generation?: Prompt[];
  axes: Record<string, string>;
  placement: Placement | null;
  stages: StageTime[];
  perf: { median_seconds: number; min_seconds: number; runs: number; case: string } | null;
  environment: Record<string, string>;
  notes: string[];
  log_tail: string;
  run: string;
  reproduce: string;
  started: string;
  seconds: number;
  peak_rss_bytes: number;
  turn: Turn | null; // beside the record, of the cell's history
  known: Known | null; // beside the record, of what was found out since
}

/** What is known of why a cell does not pass (porting/diagnose/known.py: Known), in words. */
export interface Known {
  said: string;
  operators: string[];
  smallest: string;
  remedies: string[];
  commands: string[];
}

/** Since when a cell is as it is (porting/records/history.py: Turn); what moved is old and new by name. */
export interface Turn {
  start: string;
  results: number | null;
  before: string;
  moved: Record<string, [string, string]>;
  because: string[];
}

export type Metric = "rel_norm" | "row" | "peak" | "flips";

export type Output = {
  name: string;
  elements: number;
  nonfinite: number;
  max_abs: number | null;
  cosine: number | null;
  sqnr_db: number | null;
  noise_rel_norm: number | null;
} & Record<Metric | `allowed_${Metric}`, number | null>;

export interface Prompt {
  name: string;
  rows: number;
  tokens: number;
  max_abs: number | null;
  row: number | null;
  step: number | null;
  expected: number | null;
  got: number | null;
  gap: number | null;
  allowed_gap: number | null;
  tie: boolean;
}

export interface Placement {
  target_ops?: number | null;
  other_ops?: number | null;
  arithmetic?: number | null;
  device?: string;
  detail?: Record<string, number>;
}

export interface StageTime {
  name: string;
  seconds: number;
  cpu_seconds: number;
  peak_rss_bytes: number;
}
