namespace Hydragen.Engine;

/// <summary>The new nodes and sequences of one call, both in depth-first order, and what they share.</summary>
internal sealed class PromptForest
{
    public List<PrefixNode> Nodes { get; } = [];

    public List<Sequence> Sequences { get; } = [];

    /// <summary>Prompt tokens as the sequences see them.</summary>
    public long PromptTokens { get; private set; }

    /// <summary>Tokens of the nodes with at least two sequences below them.</summary>
    public long SharedTokens { get; private set; }

    /// <summary>The most such nodes above one sequence.</summary>
    public int SharingLevels { get; private set; }

    /// <summary>Makes nodes and sequences hold what lies above them; call once, when complete.</summary>
    public void AcquireLeases()
    {
        foreach (PrefixNode node in Nodes) Acquire(node.Parent);
        foreach (Sequence sequence in Sequences) Acquire(sequence.Parent);

        static void Acquire(PrefixNode? node)
        {
            if (node is not null) node.LeaseCount++;
        }
    }

    /// <summary>Counts what is shared; call once, when complete.</summary>
    public void CountSharing()
    {
        var users = new Dictionary<PrefixNode, int>();
        foreach (Sequence sequence in Sequences)
        {
            PromptTokens += sequence.End;
            for (PrefixNode? node = sequence.Parent; node is not null; node = node.Parent)
                users[node] = users.GetValueOrDefault(node) + 1;
        }
        foreach ((PrefixNode node, int count) in users)
        {
            if (count > 1) SharedTokens += node.TokenIds.Count;
        }
        foreach (Sequence sequence in Sequences)
        {
            int levels = 0;
            for (PrefixNode? node = sequence.Parent; node is not null; node = node.Parent)
            {
                if (users[node] > 1) levels++;
            }
            SharingLevels = Math.Max(SharingLevels, levels);
        }
    }
}
