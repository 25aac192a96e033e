namespace Hydragen.Engine;

/// <summary>
/// The random numbers of one sample: SplitMix64 from a state that mixes the seed, the prompt's tokens and the sample's number,
/// so that neither batch nor order changes them.
/// </summary>
internal struct SampleRandom
{
    private const ulong Increment = 0x9E3779B97F4A7C15;
    private ulong _state;

    public SampleRandom(ulong seed, ulong promptHash, int sample) => _state = Mix(Mix(seed + Increment) ^ Mix(promptHash) ^ Mix((ulong)sample + 1));

    /// <summary>A hash of tokens, to be continued token by token from <paramref name="hash"/>.</summary>
    public static ulong Hash(IEnumerable<int> tokenIds, ulong hash)
    {
        foreach (int tokenId in tokenIds) hash = Mix(hash ^ (uint)tokenId) + Increment;
        return hash;
    }

    /// <summary>A number in [0, 1) with 53 random bits.</summary>
    public double NextDouble()
    {
        _state += Increment;
        return (Mix(_state) >> 11) * (1.0 / (1UL << 53));
    }

    private static ulong Mix(ulong x)
    {
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
        return x ^ (x >> 31);
    }
}
