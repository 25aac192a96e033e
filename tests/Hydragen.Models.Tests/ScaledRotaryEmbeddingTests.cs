namespace Hydragen.Models.Tests;

public sealed class ScaledRotaryEmbeddingTests
{
    private static readonly RotaryParameters Plain = new() { RotaryDim = 64, Theta = 10_000, OriginalMaxPositions = 4096 };

    [Fact]
    public void Angles_are_positions_times_frequencies()
    {
        (float[] cos, float[] sin) = Factors(Plain, 1_000_000);
        for (int i = 0; i < 32; i++)
        {
            double angle = 1_000_000 * Math.Pow(10_000, -i / 32.0);
            Assert.Equal(Math.Cos(angle), cos[i], 1e-6);
            Assert.Equal(Math.Sin(angle), sin[i], 1e-6);
        }
    }

    [Fact]
    public void Linear_scaling_divides_positions() =>
        AssertEqual(Factors(Plain, 500), Factors(Plain with { Scaling = RotaryScaling.Linear, Factor = 4 }, 2000));

    [Fact]
    public void Dynamic_scaling_starts_beyond_the_original_context()
    {
        RotaryParameters dynamic = Plain with { Scaling = RotaryScaling.Dynamic, Factor = 2 };
        AssertEqual(Factors(Plain, 4095), Factors(dynamic, 4095));
        double theta = 10_000 * Math.Pow(2 * 8192.0 / 4096 - 1, 64.0 / 62);
        AssertEqual(Factors(Plain with { Theta = theta }, 8191), Factors(dynamic, 8191));
    }

    [Fact]
    public void Llama3_keeps_short_waves_and_stretches_long_ones()
    {
        RotaryParameters scaled = Plain with { Scaling = RotaryScaling.Llama3, Factor = 8, OriginalMaxPositions = 1000 };
        (float[] cos, _) = Factors(scaled, 800);
        Assert.Equal(Factors(Plain, 800).Cos[0], cos[0]);
        Assert.Equal(Factors(Plain, 100).Cos[31], cos[31]);
    }

    [Fact]
    public void Yarn_multiplies_cosine_and_sine()
    {
        RotaryParameters scaled = Plain with { Scaling = RotaryScaling.Yarn, Factor = 1, Magnitude = 1.5 };
        (float[] cos, float[] sin) = Factors(scaled, 77);
        (float[] plainCos, float[] plainSin) = Factors(Plain, 77);
        for (int i = 0; i < 32; i++)
        {
            Assert.Equal(1.5 * plainCos[i], cos[i], 1e-6);
            Assert.Equal(1.5 * plainSin[i], sin[i], 1e-6);
        }
    }

    private static void AssertEqual((float[] Cos, float[] Sin) expected, (float[] Cos, float[] Sin) actual)
    {
        Assert.Equal(expected.Cos, actual.Cos, (x, y) => Math.Abs(x - y) < 1e-6);
        Assert.Equal(expected.Sin, actual.Sin, (x, y) => Math.Abs(x - y) < 1e-6);
    }

    private static (float[] Cos, float[] Sin) Factors(RotaryParameters parameters, int position)
    {
        var rotary = new ScaledRotaryEmbedding(parameters);
        var cos = new float[rotary.RotaryDim / 2];
        var sin = new float[rotary.RotaryDim / 2];
        rotary.GetFactors(position, cos, sin);
        return (cos, sin);
    }
}
