/** The slope of a straight line through points, and the standard error of that slope, by least squares. */
export function slopeOf(points: readonly (readonly [x: number, y: number])[]): { slope: number; error: number } {
  const mean = (values: readonly number[]): number => values.reduce((sum, one) => sum + one, 0) / values.length;
  const [middleX, middleY] = [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))];
  const spread = points.reduce((sum, [x]) => sum + (x - middleX) ** 2, 0);
  const slope = points.reduce((sum, [x, y]) => sum + (x - middleX) * (y - middleY), 0) / spread;
  const residuals = points.map(([x, y]) => y - middleY - slope * (x - middleX));
  const variance = residuals.reduce((sum, one) => sum + one ** 2, 0) / (points.length - 2);
  return { slope, error: Math.sqrt(variance / spread) };
}
