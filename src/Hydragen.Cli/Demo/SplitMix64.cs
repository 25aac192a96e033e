namespace Hydragen.Cli.Demo;

/// <summary>
/// The SplitMix64 generator (Steele, Lea, Flood 2014). Its own, because a document must be the same on every runtime and in
/// the Python trainer.
/// </summary>
internal struct SplitMix64(ulong seed)
{
    private ulong _state = seed;

    /// <summary>A number in [0, <paramref name="bound"/>), uniform up to 2^-32.</summary>
    public int Next(int bound)
    {
        _state += 0x9E3779B97F4A7C15UL;
        ulong mixed = _state;
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9UL;
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBUL;
        mixed ^= mixed >> 31;
        return (int)(((mixed >> 32) * (ulong)bound) >> 32);
    }
}
