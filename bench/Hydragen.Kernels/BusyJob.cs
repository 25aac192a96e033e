using System.Diagnostics;
using System.Runtime.CompilerServices;
using Hydragen.Cpu;

namespace Hydragen.Kernels;

/// <summary>Items that compute for a given time and touch no memory.</summary>
internal sealed class BusyJob : Job
{
    /// <summary>Dependent multiply-adds an item.</summary>
    public int Length { get; init; }

    /// <summary>The length of items that take so many microseconds on this thread, the median of some attempts.</summary>
    public static int LengthFor(double microseconds)
    {
        const int length = 100_000, numAttempts = 31;
        var taken = new double[numAttempts];
        for (int i = 0; i < numAttempts; i++)
        {
            long start = Stopwatch.GetTimestamp();
            Chain(length);
            taken[i] = Stopwatch.GetElapsedTime(start).TotalMicroseconds;
        }
        Array.Sort(taken);
        return (int)(length * microseconds / taken[numAttempts / 2]);
    }

    public override void Execute(int item, int worker) => Chain(Length);

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static double Chain(int length)
    {
        double value = 1;
        for (int i = 0; i < length; i++) value = Math.FusedMultiplyAdd(value, 0.999, 0.001);
        return value;
    }
}
