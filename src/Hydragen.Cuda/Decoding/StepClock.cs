namespace Hydragen.Cuda;

/// <summary>Takes the times of steps on the device's clock, without waiting for steps that are under way.</summary>
internal sealed class StepClock(CudaDevice device) : IDisposable
{
    private const int NumSteps = 8;

    private readonly CudaEvent?[] _starts = new CudaEvent?[NumSteps], _ends = new CudaEvent?[NumSteps];
    private readonly bool[] _follows = new bool[NumSteps];
    private long _numStarted, _numRead;
    private bool _isBroken = true;

    /// <summary>Seconds in steps.</summary>
    public double BusySeconds { get; private set; }

    /// <summary>Seconds between steps that follow each other.</summary>
    public double IdleSeconds { get; private set; }

    /// <summary>The next step does not follow the one before.</summary>
    public void Break() => _isBroken = true;

    /// <summary>A step starts here.</summary>
    public void Start()
    {
        // The pair before the one that is reused is needed until the time between the two is read.
        while (_numStarted - _numRead > NumSteps - 2) Read();
        int index = (int)(_numStarted % NumSteps);
        _follows[index] = !_isBroken && _numStarted > 0;
        _isBroken = false;
        (_starts[index] ??= new CudaEvent(device.Context)).Record(device.Stream);
    }

    /// <summary>It ends here.</summary>
    public void End() => (_ends[_numStarted++ % NumSteps] ??= new CudaEvent(device.Context)).Record(device.Stream);

    /// <summary>Waits for all steps and reads their times.</summary>
    public void Finish()
    {
        while (_numRead < _numStarted) Read();
    }

    /// <summary>Counts from zero.</summary>
    public void Clear()
    {
        Finish();
        (BusySeconds, IdleSeconds, _isBroken) = (0, 0, true);
    }

    public void Dispose()
    {
        foreach (CudaEvent? moment in (CudaEvent?[])[.. _starts, .. _ends]) moment?.Dispose();
    }

    private void Read()
    {
        int index = (int)(_numRead % NumSteps);
        _ends[index]!.Synchronize();
        BusySeconds += _ends[index]!.SecondsSince(_starts[index]!);
        if (_follows[index]) IdleSeconds += _starts[index]!.SecondsSince(_ends[(_numRead + NumSteps - 1) % NumSteps]!);
        _numRead++;
    }
}
