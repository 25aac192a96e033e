using Hydragen.Core;

namespace Hydragen.Testing;

/// <summary>Seeded random numbers for tests.</summary>
public static class RandomTensors
{
    /// <summary>Draws from N(mean, deviation²).</summary>
    public static float[] Normal(Random random, int count, float mean = 0, float deviation = 1)
    {
        var values = new float[count];
        for (int i = 0; i < count; i++)
        {
            double radius = Math.Sqrt(-2 * Math.Log(1 - random.NextDouble()));
            values[i] = mean + deviation * (float)(radius * Math.Cos(2 * Math.PI * random.NextDouble()));
        }
        return values;
    }

    /// <summary>The nearest value that an element type can store.</summary>
    public static float Round(float value, ElementType type) => type switch
    {
        ElementType.BFloat16 => BFloat16Bits.ToSingle(BFloat16Bits.FromSingle(value)),
        ElementType.Float16 => (float)(Half)value,
        _ => value,
    };

    /// <summary>Rounds all values in place and returns them.</summary>
    public static float[] Round(float[] values, ElementType type)
    {
        for (int i = 0; i < values.Length; i++) values[i] = Round(values[i], type);
        return values;
    }
}
