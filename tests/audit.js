// What a reader with a screen reader, a keyboard or weak eyes would stumble over on this page (WCAG 2.2 AA).
(() => {
  const problems = [];
  const shown = (element) => element.checkVisibility({ visibilityProperty: true }) && !element.closest("dialog:not([open])");
  const all = (selector) => [...document.querySelectorAll(selector)].filter(shown);
  const what = (element) => `${element.tagName.toLowerCase()}${element.id ? `#${element.id}` : ""} ${element.textContent.trim().slice(0, 40)}`;

  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of new Set(ids)) if (ids.indexOf(id) !== ids.lastIndexOf(id)) problems.push(`two elements with the id ${id}`);
  for (const element of document.querySelectorAll("[aria-labelledby]")) {
    if (!document.getElementById(element.getAttribute("aria-labelledby"))) problems.push(`${what(element)}: labelled by nothing`);
  }
  for (const group of all("[role=group]")) if (!group.ariaLabel) problems.push(`${what(group)}: a group without a name`);
  if (all("h1").length !== 1) problems.push("not one h1");
  let before = 1;
  for (const heading of all("h1, h2, h3")) {
    const level = Number(heading.tagName[1]);
    if (level > before + 1) problems.push(`${what(heading)}: skips a level`);
    before = level;
  }
  for (const table of all("table")) {
    if ([...table.querySelectorAll("thead th")].some((head) => head.scope !== "col" || !head.textContent.trim())) problems.push(`${what(table)}: a column without a head`);
  }

  const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
  const luminance = (colour) => channels(colour).slice(0, 3)
    .map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const background = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if ((channels(colour)[3] ?? 1) > 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || seen.has(element) || !shown(element) || element.closest("svg, .unseen, .skip, :disabled")) continue;
    seen.add(element);
    const style = getComputedStyle(element);
    const [bright, dark] = [luminance(style.color), luminance(background(element))].sort((left, right) => right - left);
    const size = parseFloat(style.fontSize);
    const least = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    const contrast = (bright + 0.05) / (dark + 0.05);
    if (contrast < least) problems.push(`${what(element)}: contrast ${contrast.toFixed(2)}`);
  }
  for (const button of all("button, input")) {
    const box = button.getBoundingClientRect();
    if (!button.closest(".cells") && (box.height < 24 || box.width < 24)) problems.push(`${what(button)}: ${box.width} by ${box.height} pixels`);
  }
  return problems;
})()
