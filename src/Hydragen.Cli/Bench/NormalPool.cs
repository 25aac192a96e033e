namespace Hydragen.Cli.Bench;

/// <summary>
/// Standard normal numbers, drawn once. A long array of them is a pool from which pieces at hashed places are taken, which costs
/// a copy instead of two transcendental functions a number.
/// </summary>
internal sealed class NormalPool
{
    private const int Size = (1 << 21) + 7;
    private readonly float[] _values = new float[Size];

    public NormalPool(int seed)
    {
        var random = new Random(seed);
        for (int i = 0; i < Size; i++)
            _values[i] = (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
    }

    /// <summary>All of them.</summary>
    public ReadOnlySpan<float> Values => _values;

    /// <summary>The piece that belongs to a key; equal keys give equal pieces.</summary>
    /// <param name="key">Anything.</param>
    /// <param name="length">At most 1,048,576.</param>
    public ReadOnlySpan<float> Piece(ulong key, int length)
    {
        // The finalizer of SplitMix64.
        key = (key ^ (key >> 30)) * 0xBF58476D1CE4E5B9;
        key = (key ^ (key >> 27)) * 0x94D049BB133111EB;
        return _values.AsSpan((int)((key ^ (key >> 31)) % (ulong)(Size - length + 1)), length);
    }
}
