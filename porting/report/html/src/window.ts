/* TanStack Virtual for Preact: of a long list, only the rows near the window are made. */
import { type Range, Virtualizer, defaultRangeExtractor, elementScroll, observeElementOffset, observeElementRect } from "@tanstack/virtual-core";
import type { RefObject } from "preact";
import { useLayoutEffect, useReducer, useState } from "preact/hooks";

interface Options {
  count: number;
  keyOf: (index: number) => string | number;
  /** Expected height of a row in pixels, until it is measured. */
  height: number;
  scroller: RefObject<HTMLElement | null>;
  offset: number;
  /** A row that stays though it is out of sight, for it has the focus; -1 for none. */
  kept: number;
}

export type Rows = Virtualizer<HTMLElement, HTMLElement>;

export function useWindow({ count, keyOf, height, scroller, offset, kept }: Options): Rows {
  const [, redraw] = useReducer((turn: number) => turn + 1, 0);
  const options = {
    count,
    getItemKey: keyOf,
    getScrollElement: () => scroller.current,
    estimateSize: () => height,
    overscan: 6,
    initialRect: { width: 0, height: innerHeight },
    initialOffset: offset,
    rangeExtractor: (range: Range) => withKept(defaultRangeExtractor(range), kept, count),
    observeElementRect,
    observeElementOffset,
    scrollToFn: elementScroll,
    onChange: () => redraw(undefined as never),
  };
  const [rows] = useState<Rows>(() => new Virtualizer(options));
  rows.setOptions(options);
  useLayoutEffect(() => rows._didMount(), []);
  useLayoutEffect(() => rows._willUpdate());
  return rows;
}

function withKept(indexes: number[], kept: number, count: number): number[] {
  if (kept < 0 || kept >= count || indexes.includes(kept)) return indexes;
  return [...indexes, kept].sort((a, b) => a - b);
}
