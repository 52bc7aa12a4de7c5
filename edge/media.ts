const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const QUOTED = '"(?:[^"\\\\\\x00-\\x1f\\x7f-\\uffff]|\\\\[\\x20-\\x7e])*"';
const PARAMETER = new RegExp(`[ \\t]*;[ \\t]*(${TOKEN})=(${TOKEN}|${QUOTED})[ \\t]*`, 'y');
const ESSENCE = new RegExp(`^[ \\t]*(${TOKEN}/${TOKEN})[ \\t]*`);
/** No registered media type comes near; RFC 6838 allows 127 characters for each half. */
const charsMax = 255;

/** A content type, RFC 9110 8.3, lower case where case does not matter. */
export interface MediaType {
  /** `type/subtype` */
  essence: string;
  charset: string | undefined;
}

/** Undefined for anything that is not of the grammar, is longer than 255 characters, or names two charsets. */
export function parseMediaType(text: string): MediaType | undefined {
  const start = text.length <= charsMax ? ESSENCE.exec(text) : null;
  if (!start) return undefined;
  let charset: string | undefined;
  let end = start[0].length;
  while (end < text.length) {
    PARAMETER.lastIndex = end;
    const parameter = PARAMETER.exec(text);
    if (!parameter) return undefined;
    end = PARAMETER.lastIndex;
    if (parameter[1]!.toLowerCase() !== 'charset') continue;
    if (charset !== undefined) return undefined;
    charset = parameter[2]!.replace(/^"|"$/g, '').toLowerCase();
  }
  return { essence: start[1]!.toLowerCase(), charset };
}
