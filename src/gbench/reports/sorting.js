// A cell sorts by its data-value if it has one (numbers, times), else by its text. Empty cells come last in both
// orders.
for (const table of document.querySelectorAll('table.sortable')) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener('click', () => {
      const down = head.ariaSort === 'ascending';
      for (const other of heads) other.removeAttribute('aria-sort');
      head.ariaSort = down ? 'descending' : 'ascending';
      const key = row => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
      const number = text => text === '' ? NaN : Number(text);
      const rows = [...body.rows].map(row => [key(row), row]);
      rows.sort(([a], [b]) => {
        if (a === '' || b === '') return (a === '') - (b === '');
        const order = isNaN(number(a)) || isNaN(number(b)) ? a.localeCompare(b) : number(a) - number(b);
        return down ? -order : order;
      });
      body.append(...rows.map(([, row]) => row));
    });
  });
}
