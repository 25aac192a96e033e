namespace Hydragen.Core;

/// <summary>How a backend computes the segments of a plan that several rows see in full: the nodes of shared prefixes.</summary>
/// <param name="NumShared">Nodes that are read once for all their sequences.</param>
/// <param name="NumFolded">Nodes that each of their sequences reads with its own keys, because that is faster.</param>
public readonly record struct NodeSharing(int NumShared, int NumFolded)
{
    /// <summary>Counts the nodes of a plan, all of them shared.</summary>
    /// <param name="plan">The plan.</param>
    public static NodeSharing Of(AttentionPlan plan)
    {
        ArgumentNullException.ThrowIfNull(plan);
        int count = 0;
        foreach (AttentionSegment segment in plan.Segments)
        {
            if (segment.IsNode) count++;
        }
        return new NodeSharing(count, 0);
    }
}
