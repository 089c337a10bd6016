/* The filter language of the matrix: text to a test over models and cells.
 *
 * A word asks for models whose id has it. `is:`, `on:`, `ev:`, `tier:`, `stage:`, `cause:`, `why:`, `error:` (at least that share of what is allowed) and `changed:` ask for one cell of the
 * row that fits all of them; `family:`, `task:`, `modality:` and `house:` speak of the model; `count(pass)>=3` of the whole row.
 * A comma means or, a leading minus not, double quotes hold spaces together. */
"use strict";

const Query = (() => {
  const CELL = {
    is: (cell, value) => cell.outcome === value,
    on: (cell, value) => onTarget(cell.target.id.toLowerCase(), value),
    ev: (cell, value) => cell.evidence === value,
    stage: (cell, value) => cell.stage === value,
    cause: (cell, value) => cell.cause === value,
    why: (cell, value) => hasReason(cell.reason, value),
    error: (cell, value) => cell.step !== null && Cells.shareOf(cell.step) > Number(value),
    changed: (cell, value) => Story.changesOf(cell).some(({ kind }) => kind === value),
    tier: (cell, value) => cell.target.evidence === value,
  };

  const MODEL = {
    family: (model, value) => model.family.toLowerCase() === value,
    task: (model, value) => model.task.toLowerCase() === value,
    modality: (model, value) => model.modality.toLowerCase().includes(value),
    house: (model, value) => model.house.toLowerCase() === value,
  };

  const COMPARE = {
    ">=": (a, b) => a >= b,
    "<=": (a, b) => a <= b,
    ">": (a, b) => a > b,
    "<": (a, b) => a < b,
    "=": (a, b) => a === b,
  };

  const targetIds = new Set(Cells.targets.map(({ id }) => id.toLowerCase()));

  /* A whole id means that target alone, also when it is part of another id. */
  function onTarget(id, value) {
    return targetIds.has(value) ? id === value : id.includes(value);
  }

  function hasReason(reason, value) {
    if (!reason) return false;
    return reason.signature === value || reason.message.toLowerCase().includes(value);
  }

  /* ---- reading ---- */

  /** Split a query into terms: {negated, key, value}; a plain word has no key. */
  function terms(text) {
    const found = text.matchAll(/(-?)(?:(\w+):)?(?:"((?:[^"\\]|\\.)*)"|(\S+))/g);
    return Array.from(found, ([whole, minus, key, quoted, word]) => {
      const value = quoted === undefined ? word : quoted.replace(/\\(.)/g, "$1");
      return { whole, negated: minus === "-", key: key?.toLowerCase() ?? null, value: value.toLowerCase(), quoted: quoted !== undefined };
    });
  }

  /** Write a term so that `terms` reads it back. */
  function term(key, value) {
    const plain = /^[^\s",\\-][^\s",\\]*$/.test(value);
    return `${key}:${plain ? value : `"${value.replace(/["\\]/g, "\\$&")}"`}`;
  }

  function options({ value, quoted }) {
    return quoted ? [value] : value.split(",").filter(Boolean);
  }

  function counter(text) {
    const match = /^count\((\w+)\)(>=|<=|=|>|<)(\d+)$/.exec(text);
    if (!match) return null;
    const [, outcome, sign, number] = match;
    return (model) => {
      const count = model.cells.filter((cell) => cell.outcome === outcome).length;
      return COMPARE[sign](count, Number(number));
    };
  }

  function modelTest(one) {
    const test = one.key ? (model) => options(one).some((value) => MODEL[one.key](model, value)) : wordTest(one);
    return (model) => test(model) !== one.negated;
  }

  function wordTest(one) {
    return (!one.quoted && counter(one.value)) || ((model) => model.id.toLowerCase().includes(one.value));
  }

  function cellTest(one) {
    return (cell) => options(one).some((value) => CELL[one.key](cell, value)) !== one.negated;
  }

  /* ---- asking ---- */

  /** Turn text into {models, hits, unknown}: models that fit, the set of cells that do (null when no cell was asked for), and
   * the keys that nobody knows. */
  function run(text) {
    const parsed = terms(text);
    const unknown = parsed.filter(({ key }) => key && !(key in CELL) && !(key in MODEL)).map(({ whole }) => whole);
    const cellTests = parsed.filter(({ key }) => key in CELL).map(cellTest);
    const modelTests = parsed.filter(({ key }) => !key || key in MODEL).map(modelTest);
    const models = Cells.models.filter((model) => modelTests.every((test) => test(model)));
    if (!cellTests.length) return { models, hits: null, unknown };
    const hits = new Set(models.flatMap((model) => model.cells).filter((cell) => cellTests.every((test) => test(cell))));
    return { models: models.filter((model) => model.cells.some((cell) => hits.has(cell))), hits, unknown };
  }

  /** Whether `value` is among the options of a term `key:a,b`. */
  function has(text, key, value) {
    return terms(text).some((one) => one.key === key && !one.negated && options(one).includes(value));
  }

  /** Add `value` to the term `key:a,b`, or take it out. */
  function toggle(text, key, value) {
    const parsed = terms(text);
    const old = parsed.find((one) => one.key === key && !one.negated);
    const rest = parsed.filter((one) => one !== old).map(({ whole }) => whole);
    const values = old ? options(old) : [];
    const next = values.includes(value) ? values.filter((other) => other !== value) : [...values, value];
    return [...rest, ...(next.length ? [`${key}:${next.join(",")}`] : [])].join(" ");
  }

  return { run, term, has, toggle };
})();
