namespace Hydragen.Core.Tests;

public sealed class TreePlannerTests
{
    private static readonly PlanNode[] Nodes =
    [
        new(-1, 0, 70, new[] { 0, 1 }),
        new(0, 70, 5, new[] { 2 }),
        new(0, 70, 0, Array.Empty<int>()),
    ];

    private static readonly PlanSequence[] Sequences =
    [
        new(1, 1, 75, 3, new[] { 3 }),
        new(1, 2, 75, 2, new[] { 4 }),
        new(2, 1, 70, 0, Array.Empty<int>()),
        new(-1, 1, 0, 9, new[] { 5 }),
    ];

    [Fact]
    public void Shared_nodes_become_one_segment_over_all_rows_below_them()
    {
        AttentionPlan plan = new TreePlanner().Plan(Nodes, Sequences, SharingMode.Hydragen);
        Assert.Equal([77, 75, 76, 70, 8], plan.RowPositions.ToArray());
        Assert.Equal(
            [(0, 4, 70, AttentionMask.Full), (0, 3, 5, AttentionMask.Full), (0, 1, 3, AttentionMask.Full), (1, 2, 2, AttentionMask.Causal), (4, 1, 9, AttentionMask.Full)],
            plan.Segments.ToArray().Select(s => (s.FirstRow, s.NumRows, s.NumKeys, s.Mask)));
    }

    [Theory]
    [InlineData(SharingMode.Paged)]
    [InlineData(SharingMode.Copied)]
    public void Without_sharing_every_sequence_reads_the_nodes_above_it_by_itself(SharingMode mode)
    {
        AttentionPlan plan = new TreePlanner().Plan(Nodes, Sequences, mode);
        Assert.Equal(
            [(0, 1, 70), (0, 1, 5), (0, 1, 3), (1, 2, 70), (1, 2, 5), (1, 2, 2), (3, 1, 70), (4, 1, 9)],
            plan.Segments.ToArray().Select(s => (s.FirstRow, s.NumRows, s.NumKeys)));
    }

    [Fact]
    public void No_attention_has_rows_but_no_segments()
    {
        AttentionPlan plan = new TreePlanner().Plan(Nodes, Sequences, SharingMode.NoAttention);
        Assert.Equal((5, 0), (plan.NumRows, plan.Segments.Length));
    }

    [Fact]
    public void Sequences_out_of_depth_first_order_are_refused()
    {
        PlanSequence[] mixed = [Sequences[0], Sequences[2], Sequences[1]];
        Assert.Contains("depth-first", Assert.Throws<ArgumentException>(() => new TreePlanner().Plan(Nodes, mixed, SharingMode.Hydragen)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Trees_that_contradict_themselves_are_refused()
    {
        void Check(string part, PlanNode[] nodes, params PlanSequence[] sequences) => Assert.Contains(
            part, Assert.Throws<ArgumentException>(() => new TreePlanner().Plan(nodes, sequences, SharingMode.Hydragen)).Message, StringComparison.Ordinal);
        Check("parent 0", [new(0, 0, 1, new[] { 0 })]);
        Check("parent -2", [new(-2, 0, 1, new[] { 0 })]);
        Check("starts at position 3", [new(-1, 3, 1, new[] { 0 })]);
        Check("continues node 3", Nodes, new PlanSequence(3, 1, 0, 1, new[] { 0 }));
        Check("its prefix ends at 75", Nodes, new PlanSequence(1, 1, 74, 1, new[] { 0 }));
        Check("2 queries and 1 own tokens", Nodes, new PlanSequence(-1, 2, 0, 1, new[] { 0 }));
    }
}
