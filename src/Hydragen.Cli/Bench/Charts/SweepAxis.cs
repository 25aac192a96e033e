namespace Hydragen.Cli.Bench;

/// <summary>The dimension of a sweep that a chart runs along: the one with the most different values.</summary>
/// <param name="Index">Which of the candidates.</param>
/// <param name="Title">Its title.</param>
internal readonly record struct SweepAxis(int Index, string Title)
{
    /// <summary>A dimension and its value in every point of the sweep.</summary>
    public readonly record struct Candidate(string Title, IReadOnlyList<int> Values);

    /// <summary>Picks an axis; of equally varied ones the first.</summary>
    public static SweepAxis Of(params ReadOnlySpan<Candidate> candidates)
    {
        int best = 0;
        for (int i = 1; i < candidates.Length; i++)
        {
            if (candidates[i].Values.Distinct().Count() > candidates[best].Values.Distinct().Count()) best = i;
        }
        return new SweepAxis(best, candidates[best].Title);
    }
}
