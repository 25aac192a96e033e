// Measures operators of the CPU backend alone; see the usage in Settings.cs and bench/README.md.
using System.Globalization;
using Hydragen.Cpu;
using Hydragen.Kernels;

CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
Settings settings;
try
{
    settings = Settings.Parse(args);
}
catch (FormatException exception)
{
    Console.Error.WriteLine($"{exception.Message}\n{Settings.Usage}");
    return 2;
}
try
{
    using var report = new Report(settings);
    Action<Settings, Report> run = settings.Mode switch
    {
        "ladder" => LadderBenchmark.Run,
        "prefix" => PrefixBenchmark.Run,
        "suffix" => SuffixBenchmark.Run,
        "pool" => PoolBenchmark.Run,
        _ => LinearBenchmark.Run,
    };
    run(settings, report);
    return 0;
}
catch (Exception exception) when (exception is PlatformNotSupportedException or ArgumentException or IOException)
{
    Console.Error.WriteLine(exception.Message);
    return 2;
}
