// As much of Terraform's language as deploy/aws/main.tf needs: blocks, and attributes with strings, numbers, truths,
// lists and jsonencode({…}).  Whatever else is an error, so that nothing is passed over unseen.
const TOKEN = /\s+|#[^\n]*|"(?:\\.|[^"\\])*"|[A-Za-z_][\w-]*(?:\.[\w-]+)*|\d+|>=|=>|[{}()[\]=,:]/gy;

function tokens(text) {
  const found = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (match === null) throw new Error(`not understood: ${text.slice(at, at + 40)}`);
    if (!/^(\s|#)/.test(match[0])) found.push(match[0]);
  }
  return found;
}

class Parser {
  constructor(text, variables) {
    this.tokens = tokens(text);
    this.at = 0;
    this.variables = variables;
  }

  next(wanted) {
    const token = this.tokens[this.at++];
    if (wanted !== undefined && token !== wanted) throw new Error(`${token} where ${wanted} was due`);
    return token;
  }

  string(token) {
    return JSON.parse(token).replace(/\$\{([^}]*)\}/g, (_, name) => {
      if (!(name in this.variables)) throw new Error(`unknown \${${name}}`);
      return this.variables[name];
    });
  }

  value() {
    const token = this.next();
    if (token[0] === '"') return this.string(token);
    if (/^\d+$/.test(token)) return Number(token);
    if (token === 'true' || token === 'false') return token === 'true';
    if (token === '[') return this.list();
    if (token === '{') return this.body();
    if (token === 'jsonencode') {
      this.next('(');
      const value = this.value();
      this.next(')');
      return value;
    }
    if (/^[a-z_]\w*(\.\w+)*$/.test(token)) return { reference: token };
    throw new Error(`no value: ${token}`);
  }

  list() {
    const items = [];
    while (this.tokens[this.at] !== ']') {
      items.push(this.value());
      if (this.tokens[this.at] !== ']') this.next(',');
    }
    this.next(']');
    return items;
  }

  /** Attributes, and under `blocks` what is nested. */
  body() {
    const body = { blocks: [] };
    while (this.tokens[this.at] !== '}') {
      const name = this.next();
      if (this.tokens[this.at] === '=') {
        this.next('=');
        body[name] = this.value();
      } else {
        body.blocks.push(this.block(name));
      }
    }
    this.next('}');
    return body;
  }

  block(type) {
    const labels = [];
    while (this.tokens[this.at][0] === '"') labels.push(JSON.parse(this.next()));
    this.next('{');
    return { type, labels, body: this.body() };
  }
}

/** The resources of these types: { type, label, body }. Blocks of other types are not looked into. */
export function resources(text, types, variables) {
  const found = [];
  for (const [whole, type, label] of text.matchAll(/^resource "(\w+)" "(\w+)" \{\n(?:.*\n)*?\}\n/gm)) {
    if (!types.includes(type)) continue;
    const p = new Parser(whole, variables);
    p.next('resource');
    found.push({ type, label, body: p.block('resource').body });
    if (p.at !== p.tokens.length) throw new Error(`more than a resource: ${type} ${label}`);
  }
  return found;
}
