/* The data of the report as objects: models, targets, cells, reasons; and the details of a model, loaded when asked for.
 * Reads DATA (data.js). Makes no markup. */
"use strict";

const Cells = (() => {
  const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

  const targets = DATA.targets.map(([id, evidence, available, reason], index) => {
    return { index, id, evidence: DATA.evidences[evidence], available: Boolean(available), reason };
  });

  const models = DATA.models.map(([id, family, task, modality, house, params], index) => {
    return { index, id, family, task, modality, house, params, cells: [] };
  });

  const reasons = DATA.reasons.map(([signature, message], index) => ({ index, signature, message }));

  /* A column is a string with a character a cell, which says where in its list of names the cell's value stands. */
  function column(text, names) {
    return (position) => names[DIGITS.indexOf(text[position])] ?? null;
  }

  const outcomeAt = column(DATA.cells.outcome, DATA.outcomes);
  const evidenceAt = column(DATA.cells.evidence, DATA.evidences);
  const stageAt = column(DATA.cells.stage, DATA.stages);
  const causeAt = column(DATA.cells.cause, DATA.causes);

  /* Shares of what is allowed come in steps of a tenth of a power of ten, the first up to a thousandth, the last from a hundred
   * times on; the last digit says that nothing was judged. */
  const LOW = -3;
  const STEPS = 10;

  /** The share at which a step ends. */
  const shareOf = (step) => 10 ** (LOW + step / STEPS);

  function stepAt(position) {
    const step = DIGITS.indexOf(DATA.cells.error[position]);
    return step === DIGITS.length - 1 ? null : step;
  }

  function cell(model, target) {
    const position = model.index * targets.length + target.index;
    return {
      model,
      target,
      outcome: outcomeAt(position),
      evidence: evidenceAt(position),
      stage: stageAt(position),
      cause: causeAt(position),
      reason: reasons[DATA.cells.reason[position] - 1] ?? null,
      step: stepAt(position),
    };
  }

  for (const model of models) model.cells = targets.map((target) => cell(model, target));

  const all = models.flatMap((model) => model.cells);
  const byModel = new Map(models.map((model) => [model.id, model]));
  const byTarget = new Map(targets.map((target) => [target.id, target]));

  /* ---- sums: a claim is never added to one that rests on other evidence ---- */

  const CLAIMS = ["pass", "degraded"];

  /** Count cells in groups of one outcome and, for claims, one kind of evidence; in the order of the two lists. shared: what all
   * cells of a group rest on, null where they differ. */
  function tally(cells) {
    const groups = new Map();
    for (const { outcome, evidence } of cells) {
      const kind = CLAIMS.includes(outcome) ? evidence : null;
      const key = `${outcome} ${kind}`;
      const group = groups.get(key) ?? { outcome, evidence: kind, shared: evidence, count: 0 };
      group.count += 1;
      if (group.shared !== evidence) group.shared = null;
      groups.set(key, group);
    }
    return [...groups.values()].sort((a, b) => rank(a) - rank(b));
  }

  function rank({ outcome, evidence }) {
    const place = evidence ? DATA.evidences.indexOf(evidence) : DATA.evidences.length;
    return DATA.outcomes.indexOf(outcome) * 10 + place;
  }

  /** Group what is not a pass by reason, the most frequent first. */
  function byReason(cells) {
    const groups = new Map();
    for (const one of cells) {
      if (!one.reason || one.outcome === "pass") continue;
      const key = `${one.outcome} ${one.reason.index}`;
      const group = groups.get(key) ?? { reason: one.reason, outcome: one.outcome, cause: one.cause, stage: one.stage, cells: [] };
      group.cells.push(one);
      groups.set(key, group);
    }
    return [...groups.values()].sort((a, b) => b.cells.length - a.cells.length);
  }

  /** Models by family, the largest family first. */
  function families() {
    const groups = new Map();
    for (const model of models) groups.set(model.family, [...(groups.get(model.family) ?? []), model]);
    return [...groups].map(([name, members]) => ({ name, members })).sort((a, b) => b.members.length - a.members.length);
  }

  const sharing = (reason) => all.filter((one) => one.reason === reason);

  return { targets, models, all, byModel, byTarget, tally, rank, byReason, sharing, families, shareOf };
})();

const Details = (() => {
  const waiting = new Map();
  const loaded = new Map();

  /** Called by the detail files. text: gzip in base64, of the model's records in the order of the targets. */
  function add(digest, text) {
    waiting.get(digest)?.resolve(inflate(text));
  }

  async function inflate(text) {
    const packed = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).json();
  }

  function request(digest) {
    return new Promise((resolve, reject) => {
      waiting.set(digest, { resolve });
      const script = document.createElement("script");
      script.src = `d/${digest}.js`;
      script.onerror = () => reject(new Error(script.src));
      document.head.append(script);
    });
  }

  /** Load the records of a model; null stands for a cell without one. Rejects when the file is not there. */
  function load(model) {
    const digest = DATA.details[model.index];
    if (!loaded.has(digest)) loaded.set(digest, request(digest));
    return loaded.get(digest);
  }

  return { add, load };
})();
