#!/usr/bin/env python3
"""What a page of --report must be: check_page.py PAGE [options]

The page is well-formed, needs no other file and no network, has no script, and can be read as text:
headings, tables with captions and scopes, pictures with a title and a description. A headless
Chromium, if there is one, then shows it at four widths in a light and a dark scheme. Nothing is
reported on the console, the page is never wider than the window, no text of a picture is cut off,
too small, or lies on another one, and all contrasts are those of WCAG AA.

    --has FILE      every number of this text is in the page, too
    --text TEXT     and so is this text; may be repeated
    --state         the page is about something that is not finished or that failed
    --shots FOLDER  pictures of the page go there
    --no-browser    even if there is one
Prints a line for each fault, and ends with 1 if there is one.
"""
import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

WIDTHS = 320, 390, 768, 1280
SCHEMES = {'light': 1, 'dark': 0}
VOID = {'meta', 'br'}
KNOWN = {'html', 'head', 'meta', 'title', 'style', 'body', 'header', 'nav', 'main', 'section', 'h1', 'h2', 'p', 'a',
         'ul', 'li', 'dl', 'div', 'dt', 'dd', 'table', 'caption', 'thead', 'tbody', 'tr', 'th', 'td', 'span', 'pre',
         'figure', 'figcaption', 'b', 'i', 'svg', 'desc', 'rect', 'line', 'polyline', 'circle', 'text'}
faults = []


def fault(text):
    faults.append(text)


def words(element):
    return ' '.join(' '.join(element.itertext()).split())


def check_tables(root):
    boxed = {id(t) for box in root.iter('div') if box.get('class') == 'scroll' for t in box.iter('table')}
    for table in root.iter('table'):
        caption = table.find('caption')
        name = words(caption) if caption is not None else ''
        if not name:
            fault('a table without a caption')
        if id(table) not in boxed:
            fault(f'table "{name}": it does not scroll by itself')
        if any(th.get('scope') not in ('row', 'col') for th in table.iter('th')):
            fault(f'table "{name}": a th without a scope')
        rows = [len(tr) for tr in table.iter('tr')]
        if len(set(rows)) != 1 or len(rows) < 2:
            fault(f'table "{name}": rows of {sorted(set(rows))} cells, {len(rows)} rows')


def check_pictures(root, ids):
    for svg in root.iter('svg'):
        labels = (svg.get('aria-labelledby') or '').split()
        title, desc = svg.find('title'), svg.find('desc')
        name = words(title) if title is not None else ''
        if svg.get('role') != 'img' or not name or desc is None or len(words(desc)) < 20:
            fault(f'picture "{name}": no role, title or description')
        elif labels != [title.get('id'), desc.get('id')] or not set(labels) <= ids:
            fault(f'picture "{name}": its label is not its title and description')
        if re.search(r'\b(nan|inf)\b', words(svg), re.I) or any(
                re.search('nan|inf', v) for e in svg.iter() for k, v in e.items() if k not in ('class', 'id')):
            fault(f'picture "{name}": a number is not finite')


def check_text(page, text, options):
    if not text.startswith('<!DOCTYPE html>\n'):
        fault('it does not begin with a doctype')
    try:
        root = ET.fromstring(text)
    except ET.ParseError as e:
        fault(f'it is not well-formed: {e}')
        return
    elements = list(root.iter())
    for e in elements:
        if e.tag not in KNOWN:
            fault(f'an element {e.tag}')
        for k, v in e.items():
            if k.startswith('on') or k in ('src', 'srcset', 'action', 'data', 'style'):
                fault(f'an attribute {k}="{v}"')
            if k == 'href' and not v.startswith('#'):
                fault(f'a link to {v}')
    if re.search(r'https?:|@import|url\(', text):
        fault('something else is loaded, or linked')
    if re.search('[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]', text):
        fault('a control character')
    all_ids = [e.get('id') for e in elements if e.get('id')]
    ids = set(all_ids)
    if len(ids) != len(all_ids):
        fault('an id that is used twice')
    for e in elements:
        for ref in (e.get('href') or '')[1:].split() + (e.get('aria-labelledby') or '').split():
            if ref not in ids:
                fault(f'a reference to {ref}, which is not there')
    if root.get('lang') != 'en' or not words(root.find('head/title')):
        fault('no language or no title')
    if len(list(root.iter('h1'))) != 1 or len(list(root.iter('main'))) != 1:
        fault('not one h1 and one main')
    linked = [a.get('href')[1:] for a in root.find('body/nav').iter('a')]
    sections = [s.get('aria-labelledby') for s in root.iter('section')]
    if linked != sections or [s.find('h2').get('id') for s in root.iter('section')] != sections or not sections:
        fault('the contents are not the sections')
    state = [words(p) for p in root.iter('p') if p.get('class') == 'state']
    if bool(state) != options.state:
        fault(f'state: {state}')
    check_tables(root)
    check_pictures(root, ids)
    for part in options.text:
        if part not in words(root):
            fault(f'it does not say: {part}')
    if options.has:
        there = set(re.findall(r'\d+(?:\.\d+)?', words(root.find('body/main'))))
        with open(options.has, encoding='utf-8') as f:
            numbers = re.findall(r'(?<![\w.])\d+(?:\.\d+)?', f.read())
        if not numbers:
            fault(f'{options.has} has no numbers')
        for number in numbers:
            if number not in there:
                fault(f'{number} is not in the page')


# Runs in a page around the one that is looked at, which needs no script of its own.
PROBE = r'''<!DOCTYPE html><meta charset="utf-8"><iframe id="f" style="border:0;height:3000px" src="PAGE"></iframe>
<pre id="out">no answer</pre><script>
function numbers(color) { return color.match(/[\d.]+/g).map(Number) }
function light(c) {
  const [r, g, b] = c.slice(0, 3).map(x => (x /= 255) <= .04045 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4)
  return .2126 * r + .7152 * g + .0722 * b
}
function contrast(a, b) {
  const [x, y] = [light(a), light(b)].sort((p, q) => q - p)
  return (x + .05) / (y + .05)
}
function behind(win, e) {
  for (; e; e = e.parentElement) {
    const c = numbers(win.getComputedStyle(e).backgroundColor)
    if (c.length < 4 || c[3] > .5) return c
  }
  return [255, 255, 255]
}
function look(width, dark) {
  const out = [], frame = document.getElementById('f')
  frame.style.width = width + 'px'
  const win = frame.contentWindow, doc = frame.contentDocument, say = text => out.push(width + ' px: ' + text)
  if (win.matchMedia('(prefers-color-scheme: dark)').matches !== dark) say('the scheme is not the one that is asked for')
  const back = light(behind(win, doc.body))
  if (dark ? back > .2 : back < .8) say('the background is ' + (dark ? 'light' : 'dark'))
  if (doc.documentElement.scrollWidth > width) {
    say('the page is ' + doc.documentElement.scrollWidth + ' px wide')
    for (const e of doc.querySelectorAll('main *'))
      if (e.getBoundingClientRect().right > width && !e.closest('.scroll')) { say(e.outerHTML.slice(0, 80)); break }
  }
  for (const e of doc.querySelectorAll('body *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())
    const style = win.getComputedStyle(e), svg = e.closest('svg')
    if (own && e.tagName !== 'title' && e.tagName !== 'desc') {
      const c = contrast(numbers(svg ? style.fill : style.color), behind(win, e))
      if (c < 4.5) say('a contrast of ' + c.toFixed(2) + ': ' + e.outerHTML.slice(0, 80))
      const size = parseFloat(style.fontSize) * (svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1)
      if (size < 9) say('letters of ' + size.toFixed(1) + ' px: ' + e.outerHTML.slice(0, 80))
    }
    for (const [name, part] of [['curve', 'stroke'], ['fill', 'fill'], ['dot', 'fill'], ['axis', 'stroke'], ['before', 'stroke']])
      if (svg && (e.getAttribute('class') || '').startsWith(name) && contrast(numbers(style[part]), behind(win, e)) < 3)
        say('a picture of too little contrast: ' + e.outerHTML.slice(0, 80))
  }
  for (const svg of doc.querySelectorAll('svg')) {
    const box = svg.getBoundingClientRect(), title = svg.querySelector('title').textContent
    const texts = [...svg.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()])
    for (const [name, t] of texts)
      if (t.left < box.left - 1 || t.right > box.right + 1 || t.top < box.top - 1 || t.bottom > box.bottom + 2)
        say('"' + name + '" of "' + title + '" is cut off')
    for (let i = 0; i < texts.length; i++)
      for (let k = 0; k < i; k++) {
        const [a, b] = [texts[i][1], texts[k][1]]
        const x = Math.min(a.right, b.right) - Math.max(a.left, b.left), y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)
        if (x > 1 && y > .35 * Math.min(a.height, b.height))
          say('"' + texts[i][0] + '" and "' + texts[k][0] + '" of "' + title + '" overlap')
      }
  }
  return out
}
onload = () => {
  let out = []
  try { for (const width of WIDTHS) out = out.concat(look(width, DARK)) } catch (e) { out.push('' + e) }
  document.getElementById('out').textContent = out.length ? out.slice(0, 20).join('\n') : 'good'
}
</script>'''


def run_browser(browser, folder, name, arguments):
    command = [browser, '--headless=new', '--no-sandbox', '--disable-gpu', '--hide-scrollbars', '--enable-logging=stderr',
               '--allow-file-access-from-files', f'--user-data-dir={folder}/{name}', '--no-first-run',
               '--disable-background-networking', '--disable-extensions', '--disable-dev-shm-usage'] + arguments
    result = subprocess.run(command, capture_output=True, text=True, errors='replace', timeout=60)
    for line in result.stderr.splitlines():
        if 'CONSOLE' in line:
            fault(f'console: {line}')
    return result


def probe(browser, folder, page, scheme):
    path = os.path.join(folder, f'{scheme}.html')
    with open(path, 'w', encoding='utf-8') as f:
        f.write(PROBE.replace('PAGE', 'file://' + page).replace('WIDTHS', str(list(WIDTHS)))
                .replace('DARK', 'true' if scheme == 'dark' else 'false'))
    result = run_browser(browser, folder, scheme, [f'--blink-settings=preferredColorScheme={SCHEMES[scheme]}',
                                                   '--virtual-time-budget=20000', '--dump-dom', 'file://' + path])
    answer = re.search(r'<pre id="out">(.*?)</pre>', result.stdout, re.S)
    text = answer.group(1) if answer else f'no answer: {result.stderr[-300:]}'
    if text != 'good':
        for line in text.splitlines():
            fault(f'{scheme}, {line}')


def shoot(browser, folder, page, scheme, width, shots):
    path = os.path.join(shots, f'{width}-{scheme}.png')
    if os.path.exists(path):
        os.remove(path)
    run_browser(browser, folder, f'{scheme}-{width}',
                [f'--blink-settings=preferredColorScheme={SCHEMES[scheme]}', f'--window-size={width},6000',
                 f'--screenshot={path}', 'file://' + page])
    if not os.path.exists(path):
        fault(f'no picture {path}')


def check_browser(page, options):
    names = [os.environ.get('CHROMIUM'), 'chromium', 'chromium-browser', 'google-chrome']
    browser = next((shutil.which(n) for n in names if n and shutil.which(n)), None)
    if not browser:
        print('There is no Chromium (CHROMIUM names one), so the page is not looked at in a browser.')
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, \
            concurrent.futures.ThreadPoolExecutor(2) as pool:
        work = [pool.submit(probe, browser, folder, page, scheme) for scheme in SCHEMES]
        if options.shots:
            os.makedirs(options.shots, exist_ok=True)
            work += [pool.submit(shoot, browser, folder, page, scheme, width, os.path.abspath(options.shots))
                     for scheme in SCHEMES for width in (390, 1280)]
        for w in work:
            w.result()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('page')
    parser.add_argument('--has')
    parser.add_argument('--text', action='append', default=[])
    parser.add_argument('--state', action='store_true')
    parser.add_argument('--shots')
    parser.add_argument('--no-browser', action='store_true')
    options = parser.parse_args()
    with open(options.page, encoding='utf-8') as f:
        check_text(options.page, f.read(), options)
    if not options.no_browser:
        check_browser(os.path.abspath(options.page), options)
    for text in faults:
        print(f'{options.page}: {text}')
    return 1 if faults else 0


sys.exit(main())
