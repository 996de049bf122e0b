/** Rows of the lab as they come. Whatever came over the network is set as text, never as markup. */

const most = 500;
const names = { apns: 'APNs', fcm: 'FCM', 'fcm-token': 'FCM token', webpush: 'Web Push', webhook: 'Webhook' };
const words = { accepted: 'accepted', refused: 'refused', fault: 'fault', check: 'check' };

const byId = (id) => document.getElementById(id);
const list = byId('rows');
/** row number -> { row, element }, oldest first */
const rows = new Map();
let paused = false;
/** came while paused */
let waiting = [];

const clock = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  fractionalSecondDigits: 3,
  hour12: false,
});

function cell(className, text) {
  const element = document.createElement('td');
  element.className = className;
  element.textContent = text;
  return element;
}

function verdict({ outcome, why }) {
  if (outcome === 'refused') return why ?? 'wrong';
  if (outcome === 'fault') return `request good; told to ${why ?? 'fail'}`;
  return outcome === 'check' ? 'all good; wakes nobody' : 'all good';
}

function fill(element, row) {
  const { at, service, token, outcome, status, phone } = row;
  const outcomeCell = cell('outcome', `${words[outcome] ?? outcome}${status === undefined ? '' : ` ${status}`}`);
  if (Object.hasOwn(words, outcome)) outcomeCell.classList.add(outcome);
  element.replaceChildren(
    cell('time', clock.format(at)),
    cell('service', names[service] ?? service),
    cell('token', token),
    cell('class', row.class),
    outcomeCell,
    cell('verified', verdict(row)),
    cell('phone', phone === undefined ? '' : `${phone.user}: ${phone.state}`),
    cell('latency', phone?.latencyMs === undefined ? '' : `${phone.latencyMs} ms`),
  );
}

function isWanted({ service, outcome, token, why = '', phone, class: kind }) {
  const text = byId('text').value.trim().toLowerCase();
  const wanted = byId('service').value;
  const end = byId('outcome').value;
  if (wanted !== '' && wanted !== service) return false;
  if (end !== '' && end !== outcome) return false;
  return (
    text === '' || `${token} ${why} ${kind} ${phone?.user ?? ''} ${phone?.state ?? ''}`.toLowerCase().includes(text)
  );
}

function show(row) {
  const known = rows.get(row.number);
  if (known !== undefined) {
    known.row = row;
    fill(known.element, row);
    known.element.hidden = !isWanted(row);
    return;
  }
  const element = document.createElement('tr');
  element.className = 'fresh';
  fill(element, row);
  element.hidden = !isWanted(row);
  list.prepend(element);
  rows.set(row.number, { row, element });
  const [oldest] = rows;
  if (rows.size > most) {
    oldest[1].element.remove();
    rows.delete(oldest[0]);
  }
}

let counting = false;
function count() {
  if (counting) return;
  counting = true;
  requestAnimationFrame(() => {
    counting = false;
    const all = [...rows.values()].map(({ row }) => row);
    const how = (outcome) => String(all.filter((row) => row.outcome === outcome).length);
    byId('accepted').textContent = how('accepted');
    byId('refused').textContent = how('refused');
    byId('faults').textContent = how('fault');
    const times = all.flatMap(({ phone }) => phone?.latencyMs ?? []).sort((a, b) => a - b);
    byId('median').textContent = times.length === 0 ? '–' : `${times[Math.floor(times.length / 2)]} ms`;
    const hidden = all.filter((row) => !isWanted(row)).length;
    byId('empty').hidden = all.length > hidden;
    byId('empty').textContent =
      all.length === 0 ? 'No pushes yet. They appear here as they arrive.' : 'No push matches the filter.';
  });
}

function take(row) {
  if (paused) {
    waiting.push(row);
    if (waiting.length > 4 * most) waiting = waiting.slice(-most);
    byId('pause').textContent = `Go on (${waiting.length})`;
    return;
  }
  show(row);
  count();
}

byId('filter').addEventListener('input', () => {
  for (const { row, element } of rows.values()) element.hidden = !isWanted(row);
  count();
});
byId('filter').addEventListener('submit', (event) => event.preventDefault());
byId('pause').addEventListener('click', () => {
  paused = !paused;
  const button = byId('pause');
  button.setAttribute('aria-pressed', String(paused));
  button.textContent = paused ? 'Go on' : 'Pause';
  if (paused) return;
  for (const row of waiting) show(row);
  waiting = [];
  count();
});

function say(state, text) {
  const link = byId('link');
  link.dataset.state = state;
  link.textContent = text;
}

/** When the lab comes back it may be another one, whose numbers begin anew. */
let wasLost = false;
const events = new EventSource('seen/events');
events.addEventListener('open', () => {
  if (wasLost) {
    rows.clear();
    list.replaceChildren();
  }
  wasLost = false;
  say('live', 'live');
  count();
});
events.addEventListener('error', () => {
  wasLost = true;
  say('lost', 'the lab is gone; waiting for it');
});
events.addEventListener('message', ({ data }) => take(JSON.parse(data)));
