// The `mappings` of a source map: for each line of a bundle, the sources of its parts. Only lines are kept: a
// segment is `{ column }` without a relevant file, or `{ column, source, line }`; all from 0.

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** A digit's highest bit means that another digit follows. */
const MORE = 32;

export function decode(mappings) {
  let source = 0;
  let line = 0;
  return mappings.split(';').map((text) => {
    let column = 0;
    return text.split(',').filter(Boolean).map((segment) => {
      const [columns, sources, lines] = numbers(segment);
      column += columns;
      if (sources === undefined) return { column };
      source += sources;
      line += lines;
      return { column, source, line };
    });
  });
}

/** Encodes mappings for `decode` and any other reader of source maps. */
export function encode(lines) {
  let source = 0;
  let line = 0;
  const encoded = lines.map((segments) => {
    let column = 0;
    return segments.map((segment) => {
      let text = digits(segment.column - column);
      column = segment.column;
      if (segment.source === undefined) return text;
      // The last value is the column in the source.
      text += digits(segment.source - source) + digits(segment.line - line) + digits(0);
      ({ source, line } = segment);
      return text;
    }).join(',');
  });
  return encoded.join(';');
}

function numbers(segment) {
  const found = [];
  let value = 0;
  let shift = 1;
  for (const digit of segment) {
    const bits = DIGITS.indexOf(digit);
    value += (bits % MORE) * shift;
    shift *= MORE;
    if (bits >= MORE) continue;
    found.push(value % 2 === 1 ? -(value - 1) / 2 : value / 2);
    value = 0;
    shift = 1;
  }
  return found;
}

function digits(number) {
  let text = '';
  let rest = number < 0 ? -number * 2 + 1 : number * 2;
  do {
    const digit = rest % MORE;
    rest = Math.floor(rest / MORE);
    text += DIGITS[rest > 0 ? digit + MORE : digit];
  } while (rest > 0);
  return text;
}
