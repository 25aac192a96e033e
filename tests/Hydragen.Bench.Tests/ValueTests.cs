using Hydragen.Cli.Bench;
using Hydragen.Core;

namespace Hydragen.Bench.Tests;

public sealed class ValueTests
{
    [Theory]
    [InlineData("5", new[] { 5 })]
    [InlineData("1,8,32", new[] { 1, 8, 32 })]
    [InlineData("0..64..16", new[] { 0, 16, 32, 48, 64 })]
    [InlineData("3..5,9", new[] { 3, 4, 5, 9 })]
    [InlineData("0..10..4", new[] { 0, 4, 8 })]
    [InlineData("2147483646..2147483647", new[] { 2147483646, 2147483647 })]
    public void Lists_of_numbers_are_read(string text, int[] expected) => Assert.Equal(expected, NumberList.Parse(text));

    [Theory]
    [InlineData("")]
    [InlineData(",")]
    [InlineData("1,")]
    [InlineData("-1")]
    [InlineData("1.5")]
    [InlineData("5..1")]
    [InlineData("1..5..0")]
    [InlineData("1..2..3..4")]
    [InlineData("99999999999")]
    [InlineData("0..1000000")]
    public void Malformed_lists_are_refused(string text) => Assert.Null(NumberList.Parse(text));

    [Fact]
    public void Ranks_have_the_ceilings_of_all_their_gpus()
    {
        var one = new GpuCeilings(3000, 700_000, 750_000, 4e-6);
        var two = new RankCeilings(one, 2);
        Assert.Equal(6000, two.BestReadGigabytes);
        Assert.Equal(1_500_000, two.PeakGflops(ElementType.BFloat16));
        Assert.Null(two.PeakGflops(ElementType.Float32));
        Assert.Contains("2 times", two.Description, StringComparison.Ordinal);
        Assert.True(two.IsLike(new RankCeilings(one with { ReadGigabytes = 3100 }, 2)));
        Assert.False(two.IsLike(new RankCeilings(one with { ReadGigabytes = 2000 }, 2)));
        Assert.False(two.IsLike(one));
    }

    [Fact]
    public void A_spread_has_the_median_of_odd_and_even_counts()
    {
        Assert.Equal(new Spread(2, 1, 9), Spread.Of([9, 1, 2]));
        Assert.Equal(new Spread(2.5, 1, 9), Spread.Of([9, 1, 2, 3]));
        Assert.Throws<ArgumentException>(() => Spread.Of([]));
    }

    [Fact]
    public void Ratios_are_taken_round_by_round()
    {
        // The quotient of the medians would be 1.
        Assert.Equal(new Spread(2, 0.5, 3), Spread.OfRatios([2, 6, 1], [1, 2, 2]));
    }

    [Fact]
    public void The_machine_is_quiet_when_both_probes_are_near_the_best()
    {
        ProbeSample fast = new(95, 1), slow = new(80, 1), interrupted = new(95, 0.5);
        Assert.True(new MachineState(fast, fast, 100).IsQuiet);
        Assert.False(new MachineState(fast, slow, 100).IsQuiet);
        Assert.Equal(0.8, new MachineState(slow, fast, 100).Share);

        // Where the peak was measured too, it takes the place of the best.
        Assert.True(new MachineState(fast with { Peak = 100 }, slow with { Peak = 90 }, 1000).IsQuiet);
        Assert.False(new MachineState(fast with { Peak = 100 }, slow with { Peak = 100 }, 80).IsQuiet);

        // Slower all the time than the best that it could have been: the rates alone would not tell.
        Assert.False(new MachineState(interrupted, fast, 95).IsQuiet);
    }

    [Fact]
    public void Ceilings_that_change_are_not_alike()
    {
        var ceilings = new Ceilings(16, 500, 490, 40, 45, 1 << 28, 1);
        Assert.True(ceilings.IsLike(ceilings with { FmaGflops = 480, ReadGigabytes = 44 }));
        Assert.False(ceilings.IsLike(ceilings with { FmaGflops = 250 }));
        Assert.False(ceilings.IsLike(ceilings with { BFloat16Gflops = 900 }));
        Assert.False(ceilings.IsLike(ceilings with { ReadGigabytes = 30, StreamsReadGigabytes = 30 }));
    }

    [Fact]
    public void Equal_keys_give_equal_pieces_of_normal_numbers()
    {
        var pool = new NormalPool(1);
        Assert.True(pool.Piece(7, 100).SequenceEqual(new NormalPool(1).Piece(7, 100)));
        Assert.False(pool.Piece(7, 100).SequenceEqual(pool.Piece(8, 100)));
        double mean = 0, square = 0;
        foreach (float value in pool.Values)
        {
            mean += value;
            square += (double)value * value;
        }
        Assert.Equal(0, mean / pool.Values.Length, 0.01);
        Assert.Equal(1, square / pool.Values.Length, 0.01);
    }
}
