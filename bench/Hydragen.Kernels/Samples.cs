using System.Diagnostics;
using Hydragen.Cli.Bench;

namespace Hydragen.Kernels;

/// <summary>The rounds of one measurement, each between two looks at the machine.</summary>
internal sealed class Samples(MachineProbe probe, Action run)
{
    private const double SampleSeconds = 0.02, WarmUpSeconds = 0.2;
    private const int MaxCalls = 10_000;

    private readonly List<double> _seconds = [], _peaks = [];
    private readonly List<MachineState> _states = [];
    private int _numCalls;

    /// <summary>Seconds of a call, a sample a round.</summary>
    public IReadOnlyList<double> Seconds => _seconds;

    /// <summary>BF16 products on registers next to each sample, in GFLOP/s: the better of before and after.</summary>
    public IReadOnlyList<double> Peaks => _peaks;

    /// <summary>The machine around each sample.</summary>
    public IReadOnlyList<MachineState> States => _states;

    /// <summary>Rounds in which the machine was quiet.</summary>
    public int NumQuiet => _states.Count(state => state.IsQuiet);

    /// <summary>Seconds of one call, the mean over some.</summary>
    public static double Time(Action run, int numCalls)
    {
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < numCalls; i++) run();
        return Stopwatch.GetElapsedTime(start).TotalSeconds / numCalls;
    }

    /// <summary>Runs until the code is compiled for good, and decides how many calls make a sample.</summary>
    public void WarmUp()
    {
        long start = Stopwatch.GetTimestamp();
        do run();
        while (Stopwatch.GetElapsedTime(start).TotalSeconds < WarmUpSeconds);
        Thread.Sleep(100); // the compiler works in the background
        run();
        _numCalls = (int)Math.Clamp(SampleSeconds / Time(run, 1), 1, MaxCalls);
    }

    /// <summary>Takes one sample.</summary>
    public void Take()
    {
        (ProbeSample before, double peakBefore) = Look();
        // Short calls start from awake threads, as within a forward pass.
        if (_numCalls > 1) run();
        _seconds.Add(Time(run, _numCalls));
        (ProbeSample after, double peakAfter) = Look();
        _peaks.Add(Math.Max(peakBefore, peakAfter));
        _states.Add(new MachineState(before, after, probe.BestState));
    }

    private (ProbeSample State, double Peak) Look()
    {
        ProbeSample state = probe.MeasureState();
        return (state, state.Peak ?? probe.MeasureBFloat16().Rate);
    }
}
