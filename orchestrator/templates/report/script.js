(function () {
  var config = {responsive: true, displaylogo: false, plotlyServerURL: "", modeBarButtonsToRemove: ["sendChartToCloud"]};
  document.querySelectorAll("script[data-plot]").forEach(function (source) {
    var figure = JSON.parse(source.textContent);
    var place = document.getElementById("plot-" + source.dataset.plot);
    var bar = place.clientWidth > 600 ? "hover" : false;  // it would hide the title
    Plotly.newPlot(place, figure.data, figure.layout, Object.assign({displayModeBar: bar}, config));
  });
  function resize() { document.querySelectorAll(".js-plotly-plot").forEach(function (plot) { Plotly.Plots.resize(plot); }); }
  window.addEventListener("beforeprint", resize);
  window.addEventListener("afterprint", resize);

  // Columns are sorted by a button in their header: numbers as numbers, a dash and other text after them.
  function key(row, column) {
    var cell = row.cells[column];
    var text = cell.dataset.value || cell.textContent.trim();
    return {number: Number(text.replace(/,/g, "")), text: text};
  }
  function compare(a, b) {
    var lacking = isNaN(a.number) - isNaN(b.number);
    if (lacking || !isNaN(a.number)) { return lacking || a.number - b.number; }
    return a.text < b.text ? -1 : a.text > b.text ? 1 : 0;
  }
  function sort(table, header, column) {
    var falls = header.getAttribute("aria-sort") === "ascending";
    table.querySelectorAll("th[aria-sort]").forEach(function (other) { other.removeAttribute("aria-sort"); });
    header.setAttribute("aria-sort", falls ? "descending" : "ascending");
    var rows = Array.from(table.tBodies[0].rows).map(function (row) { return [key(row, column), row]; });
    rows.sort(function (a, b) { return falls ? compare(b[0], a[0]) : compare(a[0], b[0]); });
    rows.forEach(function (pair) { table.tBodies[0].appendChild(pair[1]); });
  }
  document.querySelectorAll("table.sortable").forEach(function (table) {
    if (table.tBodies[0].rows.length < 2) { return; }
    Array.from(table.tHead.rows[0].cells).forEach(function (header, column) {
      var button = document.createElement("button");
      button.type = "button";
      button.textContent = header.textContent;
      button.addEventListener("click", function () { sort(table, header, column); });
      header.replaceChildren(button);
    });
  });
})();
