namespace Hydragen.Core.Tests;

public sealed class AttentionPlanTests
{
    [Fact]
    public void A_plan_holds_what_was_added()
    {
        var builder = new AttentionPlanBuilder();
        Assert.Equal(0, builder.AddRows(70, 2));
        Assert.Equal(2, builder.AddRows(10, 1));
        builder.AddSegment(0, 3, [4, 9, 1], 0, 70, 0, AttentionMask.Full);
        builder.AddSegment(0, 2, [2], 60, 3, 70, AttentionMask.Causal);
        AttentionPlan plan = builder.Build();
        Assert.Equal([70, 71, 10], plan.RowPositions.ToArray());
        Assert.Equal([4, 9, 2], plan.PageTable.ToArray());
        Assert.Equal(new AttentionSegment(0, 2, 2, 60, 3, 70, AttentionMask.Causal), plan.Segments[1]);
    }

    [Fact]
    public void A_refilled_plan_gets_a_new_id_and_allocates_nothing_once_warm()
    {
        var builder = new AttentionPlanBuilder();
        AttentionPlan plan = builder.Build();
        long allocated = 0;
        for (int round = 0; round < 2; round++)
        {
            long id = plan.Id, before = GC.GetAllocatedBytesForCurrentThread();
            builder.Clear();
            builder.AddRows(64, 100);
            builder.AddSegment(0, 100, [0], 0, 64, 0, AttentionMask.Full);
            builder.Build(plan);
            allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            Assert.NotEqual(id, plan.Id);
        }
        Assert.Equal(0, allocated);
    }

    [Theory]
    [InlineData(0, 4, 0, 10, 0, "rows")]
    [InlineData(-1, 2, 0, 10, 0, "rows")]
    [InlineData(2, 2, 0, 10, 0, "rows")]
    [InlineData(0, int.MaxValue, 0, 10, 0, "rows")]
    [InlineData(0, 3, 64, 10, 0, "slot 64")]
    [InlineData(0, 3, -1, 10, 0, "slot -1")]
    [InlineData(0, 3, 0, -1, 0, "-1 keys")]
    [InlineData(0, 3, 1, 64, 0, "needs 2 pages")]
    [InlineData(0, 3, 0, 10, -5, "position -5")]
    [InlineData(0, 3, 0, 10, int.MaxValue - 9, "position")]
    public void Contradictions_are_named(int firstRow, int numRows, int firstSlot, int numKeys, int firstPosition, string part)
    {
        var builder = new AttentionPlanBuilder();
        builder.AddRows(0, 3);
        ArgumentException error = Assert.ThrowsAny<ArgumentException>(() =>
        {
            builder.AddSegment(firstRow, numRows, [7], firstSlot, numKeys, firstPosition, AttentionMask.Full);
            builder.Build();
        });
        Assert.Contains(part, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_row_cannot_see_a_position_twice()
    {
        var builder = new AttentionPlanBuilder();
        builder.AddRows(100, 4);
        builder.AddSegment(0, 3, [0], 0, 20, 0, AttentionMask.Full);
        builder.AddSegment(3, 1, [1], 0, 30, 5, AttentionMask.Full);
        builder.Build();
        builder.AddSegment(2, 2, [2], 0, 4, 20, AttentionMask.Full);
        Assert.Contains("position 20", Assert.Throws<ArgumentException>(builder.Build).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Negative_pages_and_unknown_masks_are_refused()
    {
        var builder = new AttentionPlanBuilder();
        builder.AddRows(0, 1);
        builder.AddSegment(0, 1, [-1], 0, 1, 0, AttentionMask.Full);
        Assert.Throws<ArgumentException>(builder.Build);
        builder.Clear();
        builder.AddRows(0, 1);
        builder.AddSegment(0, 1, [0], 0, 1, 0, (AttentionMask)7);
        Assert.Throws<ArgumentException>(builder.Build);
        Assert.Throws<ArgumentOutOfRangeException>(() => builder.AddRows(-1, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => builder.AddRows(int.MaxValue, 1));
    }
}
