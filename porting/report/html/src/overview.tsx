/* The front page: what passed on which evidence, what changed, what to mend first, a bar for every target and family, what stops models. */
import { type Model, type Target, all, byReason, data, grouped, models, onTarget, targets } from "./cells";
import { ChangesInShort } from "./changes";
import { Folded, Legend, Mark, Reasons, Stack, TargetLink, passes } from "./parts";
import { filterHref } from "./place";
import { term } from "./query";
import { told } from "./story";
import { counted, integer, t, when } from "./text";
import { Spark } from "./trends";
import { UnlockInShort } from "./unlock";

const STOPPED = ["degraded", "mismatch", "fail", "unsupported"];
const ABSENT = ["unavailable", "invalid", "skipped"];
const FAMILIES = 12; // are shown at once
const REASONS = 6;

export function OverviewPage() {
  return <>
    <h1>{counted("models", models.length)} × {counted("targets", targets.length)}</h1>
    {data.generated ? <p class="lead">{when(data.generated)}</p> : null}
    <Missing />
    <section><h2>{t("overview.tiers")}</h2><p class="lead">{t("overview.tiers.lead")}</p><Tiers /></section>
    <div class="panels"><ChangesInShort /><UnlockInShort /></div>
    <section><h2>{t("overview.targets")}</h2><Legend /><Targets /></section>
    <Families />
    <WhatStops heading={t("overview.reasons")} outcomes={STOPPED} />
    <WhatStops heading={t("overview.absent")} outcomes={ABSENT} />
  </>;
}

function Missing() {
  const count = all.filter(({ outcome }) => outcome === "missing").length;
  if (!count) return null;
  return (
    <p class="notice"><Mark cell={{ outcome: "missing", evidence: null }} /> <a href={filterHref("is:missing")}>{counted("overview.missing", count)}</a></p>
  );
}

/* ---- a card for every kind of evidence that some target has ---- */

function Tiers() {
  const planned = data.evidences.filter((evidence) => targets.some((target) => target.evidence === evidence));
  const absent = data.evidences.filter((evidence) => !planned.includes(evidence)).map((evidence) => t(`evidence.${evidence}`));
  return <>
    <div class="tiers">{planned.map((evidence) => <Tier evidence={evidence} />)}</div>
    {absent.length ? <p class="meta">{t("overview.tiers.absent", { names: absent.join(", ") })}</p> : null}
  </>;
}

function Tier({ evidence }: { evidence: string }) {
  const cells = all.filter(({ target }) => target.evidence === evidence);
  const passed = all.filter((cell) => cell.outcome === "pass" && cell.evidence === evidence).length;
  return (
    <article class="tier">
      <h3><Mark cell={{ outcome: "pass", evidence }} /> {t(`evidence.${evidence}`)}</h3>
      <p class="meta">{t(`rests.${evidence}`)}</p>
      <p class="number"><a href={filterHref("is:pass", `ev:${evidence}`)}>{integer(passed)}</a>{" "}
        <small>{t(`passed.${evidence}`)}<br />{t("overview.of", { n: integer(cells.length) })}</small></p>
      <Stack cells={cells} terms={[`tier:${evidence}`]} />
    </article>
  );
}

/* ---- targets and families ---- */

const trends = (told?.days.length ?? 0) > 1; // a line needs two days

function Targets() {
  return (
    <table class="list bars">
      <thead><tr>
        <th scope="col">{t("target")}</th><th scope="col">{t("evidence")}</th><th scope="col">{t("outcome")}</th>
        {trends ? <th scope="col">{t("trend.short")}</th> : null}<th scope="col" class="numeric">{t("passes")}</th>
      </tr></thead>
      <tbody>{targets.map((target) => <TargetRow target={target} />)}</tbody>
    </table>
  );
}

function TargetRow({ target }: { target: Target }) {
  const cells = onTarget(target);
  return (
    <tr>
      <th scope="row"><TargetLink target={target} /></th>
      <td>{t(`evidence.${target.evidence}`)}</td>
      <td class="wide"><Stack cells={cells} terms={[term("on", target.id)]} /></td>
      {trends ? <td class="trend"><Spark target={target} /></td> : null}
      <td class="numeric">{passes(cells) ?? "0"} <span class="meta">/ {integer(cells.length)}</span></td>
    </tr>
  );
}

/** The largest first. */
function Families() {
  const families = [...grouped(models, ({ family }) => family)].sort(([, a], [, b]) => b.length - a.length);
  if (families.length < 2) return null;
  const list = (some: typeof families) => <ul class="families">{some.map(([name, members]) => <Family name={name} members={members} />)}</ul>;
  return (
    <section><h2>{t("overview.families")}</h2><p class="lead">{t("overview.families.lead")}</p>
      <Folded items={families} limit={FAMILIES} list={list} more={(count) => counted("overview.families.more", count)} /></section>
  );
}

function Family({ name, members }: { name: string; members: Model[] }) {
  const terms = name ? [term("family", name)] : [];
  const heading = <span>{name || t("group.other")} <small>{counted("models", members.length)}</small></span>;
  return (
    <li>{name ? <a class="plain" href={filterHref(...terms)}>{heading}</a> : heading} <Stack cells={members.flatMap(({ cells }) => cells)} terms={terms} /></li>
  );
}

/* ---- reasons ---- */

function WhatStops({ heading, outcomes }: { heading: string; outcomes: string[] }) {
  const groups = byReason(all.filter(({ outcome }) => outcomes.includes(outcome)));
  return groups.length ? <section><h2>{heading}</h2><Reasons groups={groups} limit={REASONS} /></section> : null;
}
