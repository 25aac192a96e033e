namespace Hydragen.Engine;

/// <summary>
/// Finds the tree in a list of flat prompts: sorted by tokens, prompts with a common prefix stand side by side, and every common
/// prefix of at least a minimum length becomes a node. Equal prompts share all their tokens whatever their length. Takes
/// O(n log n) comparisons and no recursion.
/// </summary>
internal sealed class PrefixGrouping(int minSharedTokens)
{
    /// <summary>Groups prompts and reports nodes and sequences in depth-first order.</summary>
    /// <param name="prompts">Token ids of each prompt.</param>
    /// <param name="numSamples">How many sequences a prompt stands for.</param>
    /// <param name="root">Where all prompts start; null for position 0.</param>
    /// <param name="addNode">Creates a node below another.</param>
    /// <param name="addSequence">Called for each prompt with its deepest node, its own tokens and its index.</param>
    public void Group(
        IReadOnlyList<IReadOnlyList<int>> prompts, Func<int, int> numSamples, PrefixNode? root,
        Func<PrefixNode?, IReadOnlyCollection<int>, PrefixNode> addNode, Action<PrefixNode?, IReadOnlyCollection<int>, int> addSequence)
    {
        var order = new int[prompts.Count];
        for (int i = 0; i < order.Length; i++) order[i] = i;
        Array.Sort(order, (a, b) =>
        {
            int common = CommonLength(prompts[a], prompts[b], 0);
            int sizes = prompts[a].Count.CompareTo(prompts[b].Count);
            if (common == Math.Min(prompts[a].Count, prompts[b].Count)) return sizes != 0 ? sizes : a.CompareTo(b);
            return prompts[a][common].CompareTo(prompts[b][common]);
        });

        // A range of sorted prompts that agree on their first `Length` tokens, of which `Covered` lie in nodes above.
        var ranges = new Stack<(int First, int Count, int Length, int Covered, PrefixNode? Node)>();
        if (order.Length > 0) ranges.Push((0, order.Length, 0, 0, root));
        var parts = new List<(int First, int Count, int Length)>();
        while (ranges.TryPop(out var range))
        {
            IReadOnlyList<int> first = prompts[order[range.First]];
            int common = CommonLength(first, prompts[order[range.First + range.Count - 1]], range.Length);
            int numWhole = 0, numWholeSequences = 0;
            while (numWhole < range.Count && prompts[order[range.First + numWhole]].Count == common)
                numWholeSequences += numSamples(order[range.First + numWhole++]);

            bool isEqual = numWholeSequences > 1 && common > range.Covered;
            bool isShared = range.Count > 1 && common - range.Covered >= minSharedTokens;
            (PrefixNode? node, int covered) = (range.Node, range.Covered);
            if (isEqual || isShared)
            {
                node = addNode(node, Slice(first, covered, common));
                covered = common;
            }
            for (int i = 0; i < numWhole; i++) addSequence(node, Slice(first, covered, common), order[range.First + i]);

            parts.Clear();
            for (int i = range.First + numWhole; i < range.First + range.Count;)
            {
                int end = i + 1, token = prompts[order[i]][common];
                while (end < range.First + range.Count && prompts[order[end]][common] == token) end++;
                parts.Add((i, end - i, common + 1));
                i = end;
            }
            for (int i = parts.Count - 1; i >= 0; i--) ranges.Push((parts[i].First, parts[i].Count, parts[i].Length, covered, node));
        }
    }

    private static int CommonLength(IReadOnlyList<int> a, IReadOnlyList<int> b, int from)
    {
        int length = Math.Min(a.Count, b.Count);
        while (from < length && a[from] == b[from]) from++;
        return from;
    }

    private static int[] Slice(IReadOnlyList<int> tokenIds, int from, int to)
    {
        var slice = new int[to - from];
        for (int i = 0; i < slice.Length; i++) slice[i] = tokenIds[from + i];
        return slice;
    }
}
