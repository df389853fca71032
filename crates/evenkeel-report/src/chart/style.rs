//! The colours of all charts, in light and in dark.

/// The style sheet of the charts. Put it once into the `<style>` of a page.
///
/// It defines custom properties (`--ek-good`, `--ek-ink`, ...) that the page around the charts
/// may use too, and switches them by `prefers-color-scheme`.
pub const STYLE: &str = "\
:root {
  color-scheme: light dark;
  --ek-ink: #1c2430; --ek-faint: #5c6675; --ek-grid: #e3e7ec; --ek-paper: #ffffff;
  --ek-good: #009e73; --ek-degraded: #e69f00; --ek-bad: #d55e00; --ek-reference: #5c6675;
  --ek-measure: #0072b2; --ek-second: #a2528a; --ek-span: rgba(213, 94, 0, 0.10);
  --ek-on-band: #ffffff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ek-ink: #e8ecf1; --ek-faint: #9aa5b4; --ek-grid: #2b333f; --ek-paper: #151a21;
    --ek-good: #1fbf92; --ek-degraded: #f0b42e; --ek-bad: #ee6a45; --ek-reference: #9aa5b4;
    --ek-measure: #56b4e9; --ek-second: #d98cc0; --ek-span: rgba(238, 106, 69, 0.16);
    --ek-on-band: #10151b;
  }
}
.ek-chart { display: block; width: 100%; height: auto; font: 12px system-ui, sans-serif; }
.ek-chart text { fill: var(--ek-ink); font-variant-numeric: tabular-nums; }
.ek-chart .ek-legend { font-weight: 500; }
.ek-chart .ek-tick { fill: var(--ek-faint); }
.ek-chart .ek-grid { stroke: var(--ek-grid); }
.ek-chart .ek-axis { stroke: var(--ek-faint); }
.ek-chart .ek-span { fill: var(--ek-span); }
.ek-chart .ek-span-label { fill: var(--ek-bad); font-weight: 600; }
.ek-chart .ek-limit { stroke: var(--ek-ink); stroke-dasharray: 2 3; }
.ek-chart .ek-limit-label { fill: var(--ek-faint); }
.ek-good { --ek-tone: var(--ek-good); }
.ek-degraded { --ek-tone: var(--ek-degraded); }
.ek-bad { --ek-tone: var(--ek-bad); }
.ek-reference { --ek-tone: var(--ek-reference); }
.ek-measure { --ek-tone: var(--ek-measure); }
.ek-second { --ek-tone: var(--ek-second); }
.ek-chart .ek-area { fill: var(--ek-tone); }
.ek-chart .ek-band { fill: var(--ek-tone); }
.ek-chart .ek-band-label { fill: var(--ek-on-band); font-weight: 600; }
.ek-chart .ek-line { fill: none; stroke: var(--ek-tone); stroke-width: 2; stroke-linejoin: round; }
.ek-chart .ek-line.ek-reference { stroke-dasharray: 5 4; stroke-width: 1.5; }
.ek-chart .ek-line.ek-second { stroke-dasharray: 8 3; }
";
